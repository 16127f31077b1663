"""A fold as the steps of one config see it: its parts of the base store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from firefusion_assets.artifacts.artifact import ObjectId
from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.store import UNPARTITIONED, ArtifactStore
from firefusion_assets.core.errors import RequestError
from firefusion_assets.ingest.base_store import BASE_STORE, TABLE
from firefusion_assets.ingest.split import held_back_ids, part_ids
from firefusion_assets.lineage.assets import TRAIN_STATISTICS
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.patchstore import Patches, PatchPart
from firefusion_assets.patchstore.statistics import STATISTICS_VERSION, measure

OVERLAY = "overlay.lmdb"
"""The store in an object of `augmented_lmdb`."""

ADDED_REAL = "held-back/"
"""Stands before the ids of real patches in that store."""


@dataclass(frozen=True)
class Fold:
    """One fold of the split over the base store.

    Attributes:
        number: from 0.
        base: folder of the base store.
        table: patches, indexed by patch_id.
        train: the patches that anything may be fitted on.
        val: the patches that a checkpoint may be chosen on.
        test: the patches that nothing is chosen on; none where `split.test_share` is 0.
        evaluated: the part that all metrics come from, normally `test`; see `evaluation.part`.
        held_back: what the split takes out of the train part, in the order of `held_back_ids`.
    """

    number: int
    base: Path
    table: pd.DataFrame
    train: PatchPart
    val: PatchPart
    test: PatchPart
    evaluated: PatchPart
    held_back: PatchPart

    @property
    def folder(self) -> str:
        """Name of the fold's folder in an object."""
        return f"fold-{self.number}"


@dataclass(frozen=True)
class Replicate:
    """One training of a config in one fold, on a painted set of its own.

    Attributes:
        fold: the fold.
        number: from 0, the same for all configs.
        drawn: what its seeds are derived from: another config's only where `replicate_offset` is another.
    """

    fold: Fold
    number: int
    drawn: int

    @property
    def folder(self) -> str:
        """Name of the replicate's folder in an object."""
        return f"{self.fold.folder}/replicate-{self.number}"


def read_replicates(lineage: Lineage, key: str) -> list[Replicate]:
    """Return the replicates of a config in all folds, fold by fold."""
    first = lineage.config(key).replicate_offset
    numbers = range(lineage.study.replicates.count)
    return [Replicate(fold, number, first + number) for fold in read_folds(lineage) for number in numbers]


def read_folds(lineage: Lineage) -> list[Fold]:
    """Return the folds of the study's split; statistics of their train parts are objects of the store."""
    base = lineage.find("landsat_patches", UNPARTITIONED).path
    split = pd.read_parquet(lineage.find("scene_split", UNPARTITIONED).path / "split.parquet")
    patches = Patches(base / BASE_STORE)
    table = pd.read_parquet(base / TABLE).set_index("patch_id")
    groups = split.drop_duplicates("patch_id").set_index("patch_id")["group"]
    table = table.assign(group=groups.reindex(table.index))
    made_from = [(asset, lineage.fingerprint(asset, UNPARTITIONED)) for asset in ("landsat_patches", "scene_split")]

    def part(name: str, number: int) -> PatchPart:
        return PatchPart(patches, part_ids(split, number, name))

    return [
        Fold(
            number=number,
            base=base / BASE_STORE,
            table=table,
            train=PatchPart(
                patches,
                part_ids(split, number, "train"),
                partial(_kept_statistics, lineage.store, made_from, number),
            ),
            val=part("val", number),
            test=part("test", number),
            evaluated=part(lineage.study.evaluation.part, number),
            held_back=PatchPart(patches, held_back_ids(split, lineage.study.split, number)),
        )
        for number in sorted(split["fold"].unique().tolist())
    ]


def measure_first(folds: Iterable[Fold]) -> None:
    """Have the statistics of train parts measured or found now, before pieces of an object are made.

    Whoever asks first is noted as using them; among pieces, that would depend on which of them one step makes.
    """
    for fold in folds:
        _ = fold.train.statistics_file


def read_fold(lineage: Lineage, number: int) -> Fold:
    """Return one fold of the study's split.

    Raises:
        RequestError: if there is no such fold.
    """
    folds = {fold.number: fold for fold in read_folds(lineage)}
    if number not in folds:
        raise RequestError(f"--fold: there is no fold {number}; the study has {', '.join(map(str, folds))}")
    return folds[number]


def read_replicate(lineage: Lineage, key: str, fold: int, replicate: int) -> Replicate:
    """Return one replicate of a config.

    Raises:
        RequestError: if there is no such fold or replicate.
    """
    found = {(one.fold.number, one.number): one for one in read_replicates(lineage, key)}
    if (fold, replicate) not in found:
        folds, replicates = ({numbers[place] for numbers in found} for place in (0, 1))
        raise RequestError(
            f"--fold {fold} --replicate {replicate}: there is no such training; the study has folds 0 to {max(folds)} "
            f"and replicates 0 to {max(replicates)}"
        )
    return found[fold, replicate]


def _kept_statistics(store: ArtifactStore, made_from: list[ObjectId], fold: int, train: PatchPart) -> Path:
    """Return the file with the statistics of a fold's train part; all configs share it."""

    def make(work: Path) -> Mapping[str, Any]:
        (work / "statistics.json").write_text(measure(train).model_dump_json())
        return {"fold": fold, "n_patches": len(train)}

    fingerprint = digest([TRAIN_STATISTICS, STATISTICS_VERSION, made_from, fold])
    return store.build(TRAIN_STATISTICS, fingerprint, make, uses=made_from).path / "statistics.json"
