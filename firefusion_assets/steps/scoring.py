"""Scoring on the evaluated part: the networks of a config, and the published detectors on the same pixels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.landsat.detectors import detect
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, read_replicates
from firefusion_assets.patchstore import Patch
from firefusion_assets.report.inputs import EXAMPLES, PredictionExample
from firefusion_assets.report.sheets import prediction_sheet
from firefusion_assets.segmentation.evaluation import evaluate, score_patches
from firefusion_assets.segmentation.metrics import summarise


def score_config(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Score a config's networks on the evaluated parts; writes tables, predictions and a picture; returns facts."""
    replicates, networks = read_replicates(lineage, key), lineage.find("trained_unet", key).path
    rows, summary = [], []
    first = replicates[0].fold
    shown = shown_patches(first)
    predicted: dict[str, npt.NDArray[np.bool_]] = {}
    for replicate in replicates:
        fold, numbers = replicate.fold, {"fold": replicate.fold.number, "replicate": replicate.number}
        keep = [] if predicted else shown
        threshold = lineage.study.evaluation.threshold
        scored, kept = evaluate(networks / replicate.folder, fold.evaluated, fold.table, threshold, keep)
        predicted |= kept
        rows.append(scored.assign(**numbers))
        summary.append({**numbers, **summarise(scored)})
    pd.concat(rows, ignore_index=True).to_parquet(work / "patches.parquet", index=False)
    table = pd.DataFrame(summary).astype({"dice_micro": float})
    table.to_parquet(work / "summary.parquet", index=False)
    packed: dict[str, Any] = {name: np.packbits(mask, axis=-1) for name, mask in predicted.items()}
    np.savez_compressed(work / "predictions.npz", **packed)
    examples = prediction_examples(first, work / "predictions.npz")
    prediction_sheet(examples, first.evaluated.meta.bands).save(work / "sheet.png")
    means = table.drop(columns=["fold", "replicate"]).astype(float).mean()
    return {"summary": summary, **{name: value for name, value in means.items() if not np.isnan(value)}}


def shown_patches(fold: Fold) -> list[str]:
    """Return evaluated patches to show: fires from the largest to the smallest, and one or two without."""
    patches = fold.table.loc[fold.evaluated.ids].sort_values("fire_pixels", ascending=False, kind="stable")
    fires, free = patches.index[patches["fire_pixels"] > 0], patches.index[patches["fire_pixels"] == 0]
    n_free = min(len(free), EXAMPLES // 4)
    spread = np.unique(np.linspace(0, len(fires) - 1, num=min(len(fires), EXAMPLES - n_free)).astype(int))
    return [*fires[spread], *free[:n_free]]


def prediction_examples(fold: Fold, path: Path) -> list[PredictionExample]:
    """Return the kept predictions of a config with bands and truth."""
    size = fold.evaluated.meta.patch_size
    with np.load(path, allow_pickle=False) as file:
        masks = {name: np.unpackbits(file[name], axis=-1, count=size).view(np.bool_) for name in file.files}
    patches = {name: fold.evaluated.read(name) for name in masks}
    order = sorted(masks, key=lambda name: -int(patches[name].label.sum()))
    return [
        PredictionExample(patches[name].bands, patches[name].label, masks[name], patches[name].ignore, name)
        for name in order
    ]


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
