"""The package that docs/extending.md shows: found by its entry points, and used through the whole lineage."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.patchstore import Patches
from firefusion_assets_tests.builders.commands import run_with_package
from firefusion_assets_tests.builders.rasters import write_raster
from firefusion_assets_tests.builders.studies import REPOSITORY, lineage_of

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
SIZE, FIRE = 32, 60000


def block(language: str, holds: str) -> str:
    (text,) = (text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holds in text)
    return text


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The page's module with the metadata that pip writes of its pyproject.toml."""
    site = tmp_path / "site"
    metadata = site / "glow-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "glow.py").write_text(block("python", "class Glow(Engine)"))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: glow\nVersion: 1.0\n")
    entries = block("toml", "glow:Glow").replace('[project.entry-points."', "[").replace('"]', "]").replace('"', "")
    (metadata / "entry_points.txt").write_text(entries)
    return site


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The page's study, as quick as can be, with scenes of 60 pixels of fire at most."""
    folder = tmp_path / "study"
    rng = np.random.default_rng(3)
    for scene in range(6):
        for number in range(4):
            bands = rng.integers(5000, 20000, (3, SIZE, SIZE)).astype(np.uint16)
            mask = np.zeros((1, SIZE, SIZE), np.uint8)
            if number == 0:
                mask[0, 4:10, 4 : 8 + scene] = 1
                bands[:, mask[0] == 1] = FIRE
            write_raster(folder / "scenes" / f"scene{scene}" / f"p{number}.tif", bands)
            write_raster(folder / "scenes" / f"scene{scene}" / f"p{number}_mask.tif", mask)
    (folder / "augmentations").mkdir()
    quick = "training: {filters: 2, steps: 4, batch_size: 4, validate_every: 2, "
    (folder / "study.yaml").write_text(block("yaml", "scene-folders").replace("training: {", quick))
    (folder / "augmentations" / "glow.yaml").write_text(block("yaml", "engine: glow"))
    (folder / "augmentations" / "baseline.yaml").write_text("generator: {engine: none}")
    return folder


@pytest.mark.slow
def test_a_package_brings_a_source_an_engine_masks_and_a_rule(study: Path, package: Path) -> None:
    done = run_with_package("run", "glow", "--to", "augmented_lmdb", study=study, package=package)
    assert done.returncode == 0, done.stdout + done.stderr

    # What the objects hold is read without the package.
    store = lineage_of(study).store
    objects = {name: store.pointed(name, "glow" if name != "landsat_patches" else "_") for name in (
        "landsat_patches", "synthetic_images", "inpainting_masks", "screened_images", "augmented_lmdb")}  # fmt: skip
    paths = {name: artifact.path for name, artifact in objects.items() if artifact is not None}
    table = pd.read_parquet(paths["landsat_patches"] / "patches.parquet")
    assert len(table) == 24 and set(table["group"]) == {f"scene{number}" for number in range(6)}

    rows = pd.read_parquet(paths["inpainting_masks"] / "fold-0" / "replicate-0" / "plan.parquet")
    radius = np.sqrt(np.array([6 * (4 + scene) for scene in range(6)]) / np.pi)
    discs = {int(sum(x**2 + y**2 <= r**2 for x in range(-9, 10) for y in range(-9, 10))) for r in radius}
    assert set(rows["label_pixels"]) <= discs

    verdicts = pd.read_parquet(paths["screened_images"] / "fold-0" / "replicate-0" / "verdicts.parquet")
    assert (verdicts["no-giants_score"] == verdicts["label_pixels"]).all() and verdicts["accepted"].sum() == 6
    added = Patches(paths["landsat_patches"] / "base.lmdb", [paths["augmented_lmdb"] / "overlay.lmdb"])
    for patch_id in added.added_ids:
        patch = added.read(patch_id)
        assert (patch.bands[:, patch.label] == FIRE).all()


@pytest.mark.slow
def test_a_rule_of_a_package_rejects_and_its_mistakes_are_told(study: Path, package: Path) -> None:
    config = study / "augmentations" / "glow.yaml"
    text = config.read_text()
    config.write_text(text.replace("1.2", "0.1"))
    stopped = run_with_package("run", "glow", "--to", "screened_images", study=study, package=package)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    screened = lineage_of(study).store.pointed("screened_images", "glow")
    assert screened is not None
    verdicts = pd.read_parquet(screened.path / "fold-0" / "replicate-0" / "verdicts.parquet")
    assert not verdicts["accepted"].any() and verdicts["reason"].str.contains("px are more than any real fire").all()

    config.write_text(text.replace("tolerance: 1.2", "tolerence: 2").replace("kind: discs", "kind: disks"))
    told = run_with_package("check", study=study, package=package)
    assert told.returncode != 0
    assert "glow.yaml:4: screening.rules.0.tolerence: unknown key; did you mean tolerance?" in told.stdout + told.stderr
    assert (
        "masks.kind: 'disks' is unknown; known are 'annotated', 'box', 'dilated', 'discs'" in told.stdout + told.stderr
    )

    reference = run_with_package("settings", study=study, package=package).stdout
    for title in ("dataset: {source: scene-folders}", "generator: {engine: glow}", "masks: {kind: discs}"):
        assert f"### {title}\n" in reference
    assert (
        "| `tolerance` | number | `1.0` | Times the pixels of the largest real fire of the train part. |" in reference
    )
