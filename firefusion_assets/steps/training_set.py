"""What a config trains on, as a dataset for a plain PyTorch loop."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import ADDED_REAL, OVERLAY, Replicate, read_replicate
from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets.patchstore import Patches
from firefusion_assets.patchstore.dataset import PatchDataset, Place, Sample


def open_training_set(
    study: Path | str,
    key: str,
    fold: int = 0,
    replicate: int = 0,
    bands: Sequence[str] | None = None,
    transforms: Callable[[Sample], Sample] | None = None,
) -> PatchDataset:
    """Return what a config's network of a fold and replicate learns from: the real train part, then what is added.

    Each patch comes once. The lineage's own training draws batches of a fixed composition from them.

    Args:
        study: the study folder.
        key: of the config.
        fold: number of the fold.
        replicate: number of the replicate.
        bands: names of the bands; by default those that the study trains with.
        transforms: takes a sample and returns what is given instead.

    Raises:
        MissingUpstreamError: if the config's overlay was not made; the message names the command that makes it.
        RequestError: if there is no such fold or replicate.
    """
    lineage = open_lineage(Path(study))
    chosen = read_replicate(lineage, key, fold, replicate)
    overlay = lineage.find("augmented_lmdb", key).path / OVERLAY
    added = Patches(chosen.fold.base, [overlay], fold, replicate).added_ids
    return PatchDataset(
        chosen.fold.base,
        [overlay],
        [*chosen.fold.train.ids, *added],
        lineage.study.training.bands if bands is None else bands,
        transforms,
        fold=fold,
        replicate=replicate,
        places=_places(lineage, key, chosen),
    )


def _places(lineage: Lineage, key: str, replicate: Replicate) -> dict[str, Place]:
    table = replicate.fold.table
    real = {
        str(patch_id): Place(_text(crs), tuple(transform), _text(acquired))
        for patch_id, crs, transform, acquired in zip(
            table.index, table["crs"], table["transform"], table["acquired"], strict=True
        )
    }
    painted = pd.read_parquet(
        lineage.find("synthetic_images", key).path / replicate.folder / "provenance.parquet",
        columns=["synthetic_id", "background"],
    )
    # Paint lies where its background does, on no day.
    places = {
        one: real[ground]._replace(acquired="")
        for one, ground in zip(painted["synthetic_id"], painted["background"], strict=True)
    }
    return real | {f"{ADDED_REAL}{patch_id}": place for patch_id, place in real.items()} | places


def _text(value: object) -> str:
    """Return a cell's text; what is missing is empty."""
    return "" if pd.isna(value) else str(value)
