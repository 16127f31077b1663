"""The study that the environment names, and where its objects are."""

import os
from pathlib import Path

from firefusion_assets.artifacts.bucket_store import open_store
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.study import load_study


def study_folder() -> Path:
    """Return the study folder: FIREFUSION_STUDY, by default the demo that comes with the project."""
    return Path(os.environ.get("FIREFUSION_STUDY") or studies_folder() / "demo").resolve()


def studies_folder() -> Path:
    """Return the folder of the studies that `workspace.yaml` shows by name: FIREFUSION_STUDIES, by default `data`."""
    return Path(os.environ.get("FIREFUSION_STUDIES") or Path(__file__).parents[2] / "data").resolve()


def open_lineage(folder: Path | None = None) -> Lineage:
    """Return the lineage of a study.

    Its objects are in `<study>/artifacts`, or in a folder of the study's name below FIREFUSION_ARTIFACTS: a folder, or
    the URL of a bucket. A store that is in that folder itself, as earlier versions wrote it, stays in use if it is this
    study's.

    Args:
        folder: the study folder; by default `study_folder`.

    Raises:
        StudyError: if study.yaml is missing or wrong.
        BucketError: if a URL names no bucket.
    """
    folder = (folder or study_folder()).resolve()
    root = os.environ.get("FIREFUSION_ARTIFACTS")
    if not root:
        return Lineage(folder, ArtifactStore(folder / "artifacts"))
    if "://" in root:
        return Lineage(folder, open_store(f"{root.rstrip('/')}/{load_study(folder).name}"))
    earlier = Lineage(folder, ArtifactStore(Path(root).resolve()))
    try:
        earlier.find("landsat_patches", "")
    except MissingUpstreamError:
        return Lineage(folder, ArtifactStore(Path(root).resolve() / earlier.study.name))
    return earlier
