"""A study of one's own: the files that `firefusion init` writes."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.folders import is_new
from firefusion_assets.ingest.proposing import Proposal, propose
from firefusion_assets.landsat.bands import FALSE_COLOUR

DEMO: Final = Path(__file__).parents[1] / "demo"
"""The demo's YAML files, which the package holds."""

_CONFIGS: Final = Path(__file__).with_name("new_study")
"""The configs of a new study; DETECTORS and CROP are filled in."""
_WORKSPACE: Final = """\
# For `dagster dev -w workspace.yaml` in this folder, where .env says which study it is; `firefusion ui` needs no file.
load_from:
  - python_module:
      module_name: firefusion_assets.definitions
      location_name: NAME
"""
_CROP: Final = 32
"""px of what a model sees, where patches are no smaller."""
_IGNORE: Final = "artifacts/\n.dagster_home/\ninput/\ntracking/\n"
Like = Literal["demo", "activefire"]


def write_study(
    folder: Path, like: Like | None, images: Path | None, masks: Path | None, products: Path | None
) -> Sequence[str]:
    """Write a study folder: from another, for images and masks, or for products.

    Returns:
        A line for each setting that was guessed or has to be filled in.

    Raises:
        RequestError: if the folder isn't empty, or what is asked for doesn't go together.
        FileNotFoundError: if a folder of the input is missing or holds no image.
    """
    problems = [] if is_new(folder) else [f"{folder}: is not empty; name a new folder"]
    if (images is None) != (masks is None):
        problems.append("--images and --masks: give both")
    if sum(given is not None for given in (like, images, products)) != 1:
        problems.append("give one of --like, --images with --masks, and --products")
    if problems:
        raise RequestError("\n".join(problems))
    if like == "demo":
        _copy_demo(folder)
        return []
    if images is not None and masks is not None:
        proposal = propose(images, masks)
    elif products is not None:
        proposal = _products(products)
    else:
        proposal = _activefire()
    name = _slug(folder)
    _write(folder, name, proposal)
    return proposal.guesses


def _products(folder: Path) -> Proposal:
    guess = "dataset.labels: labels come from detectors (at least two of three agree), not from people"
    dataset = {"source": "landsat", "products": str(folder.resolve()), "labels": "voting"}
    return Proposal(dataset | {"bands": ["B2", "B3", "B4", "B5", "B6", "B7"]}, [guess], landsat=True)


def _activefire() -> Proposal:
    dataset = {
        "source": "activefire",
        "images": "input/landsat_patches",
        "masks": "input/manual_annotations_patches",
        "bands": ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11"],
    }
    guess = "put the patches and masks of the active fire data set, or their zips, into input/"
    return Proposal(dataset, [guess], landsat=True)


def _study_text(name: str, proposal: Proposal) -> str:
    """Return study.yaml; what was guessed stands above the section that it is about."""
    bands = proposal.dataset["bands"]
    if {*FALSE_COLOUR} <= {*bands}:
        bands = list(FALSE_COLOUR)
    sections: list[tuple[str, Mapping[str, Any]]] = [
        ("dataset", proposal.dataset),
        *([("split", {"folds": proposal.folds})] if proposal.folds > 1 else []),
        ("training", {"bands": bands, "filters": 4, "steps": 200}),
        ("replicates", {"count": 8}),
    ]
    lines = [f"name: {name}", f"description: Does painted data help on {name}?"]
    for section, values in sections:
        if section == "dataset":
            lines += [f"# Look at this: {guess}" for guess in proposal.guesses]
        if section == "split":
            lines.append("# Events of few groups: in one test part there would be too few to claim anything.")
        if section == "training":
            lines.append("# For a first look on a CPU; on a GPU take filters: 64, as the thesis did, and steps: 4000.")
        if section == "replicates":
            lines.append("# One contrast needs 6 replicates to be decided, four to six need 8.")
        lines.append(yaml.safe_dump({section: dict(values)}, sort_keys=False, allow_unicode=True, width=110).rstrip())
    return "\n".join(lines) + "\n"


def _write(folder: Path, name: str, proposal: Proposal) -> None:
    (folder / "augmentations").mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(_study_text(name, proposal))
    for table, rows in proposal.tables.items():
        with (folder / table).open("w", newline="") as written:
            csv.writer(written, lineterminator="\n").writerows(rows)
    crop = min(_CROP, int(proposal.dataset.get("patch_size", _CROP)) // 8 * 8)
    for file in sorted(_CONFIGS.glob("*.yaml")):
        config = file.read_text().replace("DETECTORS", "murphy" if proposal.landsat else "").replace("CROP", str(crop))
        (folder / "augmentations" / file.name).write_text(config)
    _write_support(folder, name)


def _write_support(folder: Path, name: str) -> None:
    (folder / ".gitignore").write_text(_IGNORE)
    (folder / "workspace.yaml").write_text(_WORKSPACE.replace("NAME", name))
    (folder / ".env").write_text("FIREFUSION_STUDY=.\n")


def _copy_demo(folder: Path) -> None:
    for source in (DEMO / "study.yaml", *sorted((DEMO / "augmentations").glob("*.yaml"))):
        target = folder / source.relative_to(DEMO)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text())
    _write_support(folder, "demo")


def _slug(folder: Path) -> str:
    """Return a folder's name as studies are named: a-z, 0-9 and -."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "study"
