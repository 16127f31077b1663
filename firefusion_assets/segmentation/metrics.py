"""Figures of merit from pixel counts. Pure functions: no files, no networks.

A zero denominator gives None: a figure that isn't defined is missing, neither 0 nor 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

BATCH = 8
"""Patches of a batch in `dice_batch_mean`; the thesis' validation batch."""

COUNT_COLUMNS = ("tp", "fp", "fn", "tn")
PATCH_COLUMNS = ("patch_id", "scene", "group", *COUNT_COLUMNS, "fire_pixels", "area_km2")
"""Columns of a row per patch that `summarise` needs."""


class Counts(NamedTuple):
    """Pixels that aren't ignored: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int


def score(predicted: npt.NDArray[np.bool_], label: npt.NDArray[np.bool_], ignore: npt.NDArray[np.bool_]) -> Counts:
    """Count the pixels of one patch.

    Args:
        predicted: bool (H, W).
        label: bool (H, W), the truth.
        ignore: bool (H, W), True where a pixel isn't counted.

    Raises:
        ValueError: if an array isn't bool (H, W), or the shapes differ.
    """
    for name, mask in (("predicted", predicted), ("label", label), ("ignore", ignore)):
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape != label.shape:
            raise ValueError(f"{name}: {mask.dtype} {mask.shape}, expected bool (H, W) of the label's {label.shape}")
    valid = ~ignore
    tp = int((predicted & label & valid).sum())
    fp = int((predicted & ~label & valid).sum())
    fn = int((~predicted & label & valid).sum())
    return Counts(tp, fp, fn, int(valid.sum()) - tp - fp - fn)


def dice(counts: Counts) -> float | None:
    """Return 2 TP / (2 TP + FP + FN), also called F1."""
    tp, fp, fn, _ = _checked(counts)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def iou(counts: Counts) -> float | None:
    """Return TP / (TP + FP + FN), the Jaccard index."""
    tp, fp, fn, _ = _checked(counts)
    return _ratio(tp, tp + fp + fn)


def precision(counts: Counts) -> float | None:
    """Return TP / (TP + FP)."""
    tp, fp, _, _ = _checked(counts)
    return _ratio(tp, tp + fp)


def recall(counts: Counts) -> float | None:
    """Return TP / (TP + FN)."""
    tp, _, fn, _ = _checked(counts)
    return _ratio(tp, tp + fn)


def pixel_accuracy(counts: Counts) -> float | None:
    """Return (TP + TN) / (TP + FP + FN + TN)."""
    return _ratio(counts.tp + counts.tn, sum(_checked(counts)))


def false_alarms_per_1000_km2(fp: int, area_km2: float) -> float | None:
    """Return the false alarm pixels in 1,000 km2 of fire-free ground.

    Args:
        fp: false positives on fire-free patches.
        area_km2: valid area of those patches in km2.

    Raises:
        ValueError: if one is negative.
    """
    if fp < 0 or area_km2 < 0:
        raise ValueError(f"fp and area_km2 must not be negative: got {fp} and {area_km2}")
    return _ratio(1000 * fp, area_km2)


def dice_batch_mean(patches: Sequence[Counts]) -> float | None:
    """Return the mean Dice of the batches of 8 patches, in the given order, whose truth holds fire.

    The thesis' figure, for comparison with it: false alarms in batches without fire cost nothing.

    Args:
        patches: counts of each patch.
    """
    batches = (total(patches[start : start + BATCH]) for start in range(0, len(patches), BATCH))
    return _mean([dice(batch) for batch in batches if batch.tp + batch.fn])


def total(counts: Sequence[Counts]) -> Counts:
    """Return the sum of several counts."""
    return Counts(*(sum(column) for column in zip(*counts, strict=True))) if counts else Counts(0, 0, 0, 0)


def summarise(patches: pd.DataFrame) -> dict[str, float | None]:
    """Return the figures of one fold and seed.

    Args:
        patches: a row a patch with `PATCH_COLUMNS`: tp, fp, fn, tn and fire_pixels count pixels that aren't
            ignored, area_km2 is their area (missing where the patch's ground size is unknown).

    Returns:
        dice_micro, iou, precision, recall and pixel_accuracy (pixels of all patches pooled),
        false_alarms_per_1000_km2 (on fire-free patches of known area), dice_batch_mean, dice_scene_mean and
        dice_patch_mean (over scenes and patches with fire), n_patches, n_fire_patches; None if not defined.

    Raises:
        ValueError: if columns are missing, a count is negative, or a patch appears twice.
    """
    missing = [column for column in PATCH_COLUMNS if column not in patches.columns]
    if missing:
        raise ValueError(f"rows of patches lack the columns {', '.join(missing)}")
    twice = patches.loc[patches["patch_id"].duplicated(), "patch_id"]
    if len(twice):
        raise ValueError(f"patch {twice.iloc[0]!r} appears twice; give the rows of one fold and seed")
    counts = [_checked(Counts(*map(int, row))) for row in patches[list(COUNT_COLUMNS)].to_numpy()]
    scenes: dict[str, list[Counts]] = {}
    for scene, patch in zip(patches["scene"], counts, strict=True):
        scenes.setdefault(scene, []).append(patch)
    scene_counts = [total(scene) for scene in scenes.values()]
    measured_free = patches[(patches["fire_pixels"] == 0) & patches["area_km2"].notna()]
    pooled = total(counts)
    return {
        "dice_micro": dice(pooled),
        "iou": iou(pooled),
        "precision": precision(pooled),
        "recall": recall(pooled),
        "pixel_accuracy": pixel_accuracy(pooled),
        "false_alarms_per_1000_km2": false_alarms_per_1000_km2(
            int(measured_free["fp"].sum()), float(measured_free["area_km2"].sum())
        ),
        "dice_batch_mean": dice_batch_mean(counts),
        "dice_scene_mean": _mean([dice(scene) for scene in scene_counts if scene.tp + scene.fn]),
        "dice_patch_mean": _mean([dice(patch) for patch in counts if patch.tp + patch.fn]),
        "n_patches": len(patches),
        "n_fire_patches": int((patches["fire_pixels"] > 0).sum()),
    }


def _checked(counts: Counts) -> Counts:
    if len(counts) != len(COUNT_COLUMNS):
        raise ValueError(f"counts: {len(counts)} values, expected tp, fp, fn, tn")
    if min(counts) < 0:
        raise ValueError(f"counts must not be negative: {counts}")
    return counts


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; the values come from truth with fire, whose Dice is always defined."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
