"""`firefusion publish`: what a config made, in folders that the hub takes as they are. Nothing is uploaded."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.folders import is_new
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import read_replicate

_EXTRA: Final = ("onnx", "onnxscript")


def publish_config(
    lineage: Lineage, key: str, folder: Path, fold: int, replicate: int, progress: Callable[[str], None]
) -> None:
    """Write `segmenter/`, and where there are such, `generator/` and `synthetic-set/`.

    Args:
        lineage: of the study.
        key: of the config.
        folder: a new or empty one.
        fold: number of the fold.
        replicate: number of the replicate.
        progress: called with a line on each folder, and on each that there is not.

    Raises:
        MissingUpstreamError: if the config was not trained and measured.
        RequestError: if a package is missing, the folder isn't empty, or there is no such fold or replicate.
    """
    _require_usable(folder)
    for asset in ("dice_metrics", "trained_unet", "screened_images"):
        lineage.find(asset, key)
    chosen = read_replicate(lineage, key, fold, replicate)
    from firefusion_assets.steps.publishing.card import Subject
    from firefusion_assets.steps.publishing.generator import model_folder, write_generator
    from firefusion_assets.steps.publishing.segmenter import write_segmenter
    from firefusion_assets.steps.publishing.synthetic_set import write_synthetic_set

    subject = Subject(lineage, key, chosen)
    folder.mkdir(parents=True, exist_ok=True)
    progress(write_segmenter(subject, folder / "segmenter"))
    engine = subject.config.generator.engine
    model = model_folder(subject)
    if model is None:
        progress(f"no generator: engine {engine} has no trained model")
    else:
        progress(write_generator(subject, model, folder / "generator"))
    if subject.painted_ids:
        progress(write_synthetic_set(subject, folder / "synthetic-set"))
    else:
        progress(f"no synthetic-set: {key} has no accepted painted patch in {chosen.folder}")


def _require_usable(folder: Path) -> None:
    problems = []
    if missing := [module for module in _EXTRA if find_spec(module) is None]:
        problems.append(
            f"publish needs {', '.join(missing)}, which this installation lacks; pip install 'firefusion-assets[onnx]'"
        )
    if not is_new(folder):
        problems.append(f"{folder}: is not empty; name a new folder")
    if problems:
        raise RequestError("\n".join(problems))
