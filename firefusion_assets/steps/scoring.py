"""Scoring on the evaluated part: the networks of a config, and the published detectors on the same pixels."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.artifacts.store import link
from firefusion_assets.core.workers import Progress
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, Replicate, read_replicates
from firefusion_assets.lineage.pieces import Pieces, pieces_of
from firefusion_assets.patchstore import Patch
from firefusion_assets.report.inputs import PredictionExample
from firefusion_assets.report.sheets import composite_of, prediction_sheet
from firefusion_assets.segmentation.evaluation import evaluate, score_patches
from firefusion_assets.segmentation.metrics import summarise

_PATCHES: Final = "patches.parquet"
"""A row for each evaluated patch."""

_PREDICTIONS: Final = "predictions.npz"
"""Masks of the first network of a config, by patch id, packed along the width."""

_EACH: Final = 2
"""Patches to show for what is missed, and for what is false."""


def score_pieces(lineage: Lineage, key: str) -> Pieces:
    """Return a config's networks scored on the evaluated parts, each for itself; of the first one also predictions."""
    networks, threshold = lineage.find("trained_unet", key).path, lineage.study.evaluation.threshold
    replicates = read_replicates(lineage, key)

    def score(replicate: Replicate, work: Path, progress: Progress) -> Mapping[str, Any]:
        fold, first = replicate.fold, replicate is replicates[0]
        scored, kept = evaluate(networks / replicate.folder, fold.evaluated, fold.table, threshold, first)
        scored.to_parquet(work / _PATCHES, index=False)
        if first:
            np.savez_compressed(work / _PREDICTIONS, allow_pickle=False, **kept)
        return {}

    makes = {replicate.folder: partial(score, replicate) for replicate in replicates}
    return Pieces(pieces_of(lineage, "dice_metrics", key, makes))


def score_config(lineage: Lineage, key: str, work: Path, progress: Progress) -> Mapping[str, Any]:
    """Score a config's networks on the evaluated parts; writes tables, predictions and a picture; returns facts."""
    replicates, rows, summary = read_replicates(lineage, key), [], []
    pieces = score_pieces(lineage, key).build(progress)
    for replicate, piece in zip(replicates, pieces, strict=True):
        numbers = {"fold": replicate.fold.number, "replicate": replicate.number}
        scored = pd.read_parquet(piece.path / _PATCHES)
        rows.append(scored.assign(**numbers))
        summary.append({**numbers, **summarise(scored)})
    pd.concat(rows, ignore_index=True).to_parquet(work / _PATCHES, index=False)
    table = pd.DataFrame(summary).astype({"dice_micro": float})
    table.to_parquet(work / "summary.parquet", index=False)
    link(pieces[0].path / _PREDICTIONS, work / _PREDICTIONS)
    first = replicates[0].fold
    examples = worst_predictions(first, {key: work}, rows[:1])
    prediction_sheet(examples, composite_of(lineage.study)).save(work / "sheet.png")
    means = table.drop(columns=["fold", "replicate"]).astype(float).mean()
    return {"summary": summary, **{name: value for name, value in means.items() if not np.isnan(value)}}


def worst_predictions(
    fold: Fold, measured: Mapping[str, Path], scored: Sequence[pd.DataFrame]
) -> list[PredictionExample]:
    """Return where the first networks of some configs err most: half the patches by pixels missed, half by false ones.

    Args:
        fold: the first fold.
        measured: what `score_config` wrote, by key.
        scored: the patches of the same configs, from the first fold and replicate; other rows are left out.
    """
    rows = pd.concat([table[(table["fold"] == fold.number) & (table["replicate"] == 0)] for table in scored])
    most = rows.groupby("patch_id")[["fn", "fp"]].max()
    missed = most[most["fn"] > 0].sort_values("fn", ascending=False, kind="stable").index[:_EACH]
    others = most.drop(missed)
    false = others[others["fp"] > 0].sort_values("fp", ascending=False, kind="stable").index[:_EACH]
    shown = [*missed, *false]
    size = fold.evaluated.meta.patch_size
    predicted = {key: read_predictions(folder, shown, size) for key, folder in measured.items()}
    examples = []
    for patch_id in shown:
        patch = fold.evaluated.read(patch_id)
        masks = {key: of_patches[patch_id] for key, of_patches in predicted.items()}
        examples.append(PredictionExample(patch.bands, patch.label, patch.ignore, masks, patch_id))
    return examples


def read_predictions(folder: Path, ids: Sequence[str], size: int) -> dict[str, npt.NDArray[np.bool_]]:
    """Return what the first network of a config predicts, by patch id: bool (size, size).

    Args:
        folder: of the object that `score_config` filled.
        ids: patches of the first fold's evaluated part.
        size: height and width of a patch in px.
    """
    with np.load(folder / _PREDICTIONS, allow_pickle=False) as file:
        return {name: np.unpackbits(file[name], axis=-1, count=size).view(np.bool_) for name in ids}


def score_detector(name: str, folds: Sequence[Fold]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score a published detector on the evaluated parts.

    Returns:
        A row for each fold with the metrics of `summarise`, and a row for each fold and patch.
    """
    summaries, rows = [], []
    for fold in folds:
        scored = score_patches(_detections(name, fold), fold.table)
        summaries.append({"fold": fold.number, **summarise(scored)})
        rows.append(scored.assign(fold=fold.number, replicate=0))
    return pd.DataFrame(summaries), pd.concat(rows, ignore_index=True)


def _detections(name: str, fold: Fold) -> Iterator[tuple[str, Patch, npt.NDArray[np.bool_]]]:
    for patch_id in fold.evaluated.ids:
        patch = fold.evaluated.read(patch_id)
        named = dict(zip(fold.evaluated.meta.bands, patch.bands, strict=True))
        sun = float(fold.table.loc[patch_id, "sun_elevation"])
        yield patch_id, patch, detect([name], named, None if np.isnan(sun) else sun)[name]
