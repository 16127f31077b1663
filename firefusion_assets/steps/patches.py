"""Making the data that every config shares: the base store of patches, and the split."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.ingest.base_store import BASE_STORE, TABLE, ingest, left_out
from firefusion_assets.ingest.sources.listing import list_source, raw_listing
from firefusion_assets.ingest.split import SplitError, leaks, split_patches, split_summary
from firefusion_assets.inpainting.backgrounds import judge
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.report.sheets import composite_of
from firefusion_assets.steps.preflight import require_network
from firefusion_assets.steps.samples import patch_sheet


def build_patches(lineage: Lineage, progress: Callable[[str], None]) -> tuple[Artifact, bool]:
    """Return the object of `landsat_patches` for the raw input as it is now, and whether this call made it."""
    require_network(lineage, progress)  # else it fails after all is painted
    lineage = lineage.of_patches
    raw_input = raw_listing(lineage.study, lineage.folder)
    made = []

    def make(work: Path) -> Mapping[str, Any]:
        source = list_source(lineage.study, lineage.folder, lineage.store, progress)
        facts = ingest(lineage.study, source, work, progress)
        patch_sheet(work / BASE_STORE, pd.read_parquet(work / TABLE), composite_of(lineage.study)).save(
            work / "sheet.png"
        )
        made.append(work)
        return {**facts, "raw_input": raw_input}

    settings = ASSETS["landsat_patches"].settings(lineage, UNPARTITIONED)
    fingerprint = lineage.raw_fingerprint(raw_input)
    artifact = lineage.store.build("landsat_patches", fingerprint, make, progress, settings=settings)
    lineage.store.point("landsat_patches", UNPARTITIONED, artifact)
    return artifact, bool(made)


def judged_patches(lineage: Lineage, patches: Artifact) -> pd.DataFrame:
    """Say of each patch of a base store whether it is a background; see `inpainting.backgrounds.judge`."""
    table = pd.read_parquet(patches.path / TABLE).set_index("patch_id")
    return judge(table, lineage.study.backgrounds, lineage.study.dataset.patch_size)


def split_scenes(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Write `split.parquet`; return facts."""
    patches = lineage.find("landsat_patches", UNPARTITIONED)
    try:
        split = split_patches(pd.read_parquet(patches.path / TABLE), lineage.study.split)
    except SplitError as error:
        raise SplitError("\n".join([str(error), *left_out(patches.facts)])) from error
    split.to_parquet(work / "split.parquet", index=False)
    return {
        "n_folds": lineage.study.split.folds,
        "n_groups": int(split["group"].nunique()),
        "n_leaks": len(leaks(split)),
        "by": lineage.study.split.by,
        "parts": split_summary(split).to_dict("records"),
    }
