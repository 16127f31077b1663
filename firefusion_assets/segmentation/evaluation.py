"""Scoring predictions on the test part: one row a patch.

Scores networks and detectors; `metrics` defines the figures.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.segmentation import metrics
from firefusion_assets.segmentation.trained import load_network, predict

_FIGURES = {
    "dice": metrics.dice,
    "iou": metrics.iou,
    "precision": metrics.precision,
    "recall": metrics.recall,
}
_TABLE_COLUMNS = ("scene", "group", "pixel_area_m2")

Prediction = tuple[str, Patch, npt.NDArray[np.bool_]]
"""Patch id, patch with the truth, and predicted fire, bool (H, W)."""


def evaluate(
    network_folder: Path, part: PatchPart, table: pd.DataFrame, threshold: float, keep: bool = False
) -> tuple[pd.DataFrame, dict[str, npt.NDArray[np.uint8]]]:
    """Score a trained network on every patch of a part.

    Args:
        network_folder: holds `network.json` and `network.safetensors`.
        part: the part to predict, normally test.
        table: by patch id, with columns scene, group and pixel_area_m2.
        threshold: probability from which a pixel counts as fire.
        keep: whether the predictions are wanted too, for pictures.

    Returns:
        The rows of `score_patches`, and where kept the predicted masks by patch id, packed along the width, uint8.

    Raises:
        FileNotFoundError: if the folder holds no finished network.
        ValueError: if the table lacks a patch or a column, or the store a band.
    """
    network, record = load_network(network_folder)
    kept: dict[str, npt.NDArray[np.uint8]] = {}

    def predictions() -> Iterator[Prediction]:
        for patch_id, patch, predicted in predict(network, record.normalisation, part, sorted(part.ids), threshold):
            if keep:
                kept[patch_id] = np.packbits(predicted, axis=-1)
            yield patch_id, patch, predicted

    _check_table(table, part.ids)
    return score_patches(predictions(), table), kept


def score_patches(predictions: Iterable[Prediction], table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each prediction, whoever made it: a network or a fire detector.

    Args:
        predictions: patch id, patch and predicted mask.
        table: by patch id, with columns scene, group and pixel_area_m2 (missing where unknown).

    Returns:
        Rows by rising patch_id: patch_id, scene, group; tp, fp, fn, tn and fire_pixels over pixels that
        aren't ignored; area_km2 of those pixels; dice, iou, precision and recall, missing where not defined.

    Raises:
        ValueError: if the table lacks a patch or a column.
    """
    places = table[list(_TABLE_COLUMNS)].to_dict("index")
    rows = []
    for patch_id, patch, predicted in predictions:
        _check_table(table, [patch_id])
        place = places[patch_id]
        counts = metrics.score(predicted, patch.label, patch.ignore)
        rows.append(
            {"patch_id": patch_id, "scene": place["scene"], "group": place["group"]}
            | counts._asdict()
            | {"fire_pixels": counts.tp + counts.fn, "area_km2": sum(counts) * place["pixel_area_m2"] / 1e6}
            | {name: figure(counts) for name, figure in _FIGURES.items()}
        )
    frame = pd.DataFrame(rows, columns=[*metrics.PATCH_COLUMNS, *_FIGURES])
    types = dict.fromkeys((*metrics.COUNT_COLUMNS, "fire_pixels"), "int64")
    types |= dict.fromkeys(("area_km2", *_FIGURES), "float64")
    return frame.astype(types).sort_values("patch_id", ignore_index=True)


def _check_table(table: pd.DataFrame, ids: Collection[str]) -> None:
    columns = [column for column in _TABLE_COLUMNS if column not in table.columns]
    if columns:
        raise ValueError(f"the table of patches lacks the columns {', '.join(columns)}")
    missing = [patch_id for patch_id in ids if patch_id not in table.index]
    if missing:
        raise ValueError(f"the table of patches lacks {len(missing)} patches, for example {missing[0]!r}")
