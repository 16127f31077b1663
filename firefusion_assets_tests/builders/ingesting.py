"""Raw files of tests read into a base store."""

from pathlib import Path
from typing import Any

import pandas as pd

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.ingest.base_store import ingest
from firefusion_assets.ingest.sources.listing import list_source
from firefusion_assets.patchstore import Patches
from firefusion_assets.study.models import Study


def activefire(**dataset: Any) -> Study:
    settings = {"source": "activefire", "images": "images", "masks": "masks", "patch_size": 16} | dataset
    return Study.model_validate(
        {"name": "t", "dataset": settings, "training": {"bands": [settings.get("bands", ["B7"])[0]]}}
    )


def folder_study(**dataset: Any) -> Study:
    settings = {
        "source": "folder", "images": "i", "masks": "m", "patch_size": 8, "bands": ["red", "nir"],
        "pairs": {"image": r"(?P<id>.+)_img\.tif", "mask": r"(?P<id>.+)_msk\.tif"},
        "groups": {"pattern": r"(?P<group>[a-z]+)\d+_img\.tif"},
    } | dataset  # fmt: skip
    return Study.model_validate({"name": "t", "dataset": settings, "training": {"bands": ["nir"]}})


def run(study: Study, folder: Path, out: Path) -> tuple[dict[str, Any], pd.DataFrame, Patches]:
    source = list_source(study, folder, ArtifactStore(folder / "artifacts"), print)
    facts = ingest(study, source, out, lambda line: None)
    return (
        dict(facts),
        pd.read_parquet(out / "patches.parquet").set_index("patch_id"),
        Patches(out / "base.lmdb"),
    )
