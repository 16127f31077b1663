"""What the columns of the assets' tables hold, as Dagster shows them."""

from pathlib import Path
from typing import Final

import dagster as dg

_MEANING: Final = {
    "patch_id": "the patch",
    "scene": "the scene that it was cut from",
    "group": "all that may show the same ground or event; never split between parts",
    "part": "train, val, test or held back",
    "path": "WRS-2 path",
    "acquired": "date",
    "fire_pixels": "px of the label",
    "valid_pixels": "px with data",
    "west": "longitude of its western edge",
    "south": "latitude of its southern edge",
    "east": "longitude of its eastern edge",
    "north": "latitude of its northern edge",
    "pixel_area_m2": "area of a pixel",
    "sun_elevation": "degrees above the horizon; empty where unknown",
    "crs": "coordinate reference system",
    "transform": "from column and row to coordinates, six coefficients",
    "conditions": "by what cloud and water are known: quality band, reflectance, or nothing",
    "clear_share": "share of px with data that are neither cloud nor cirrus nor shadow",
    "cloud_share": "share of px with data",
    "cirrus_share": "share of px with data",
    "shadow_share": "share of px with data",
    "snow_share": "share of px with data",
    "water_share": "share of px with data",
    "image": "the file",
    "mask": "the patch whose real mask it is",
    "fold": "number of the fold",
    "replicate": "number of the replicate",
    "row": "number of the plan's row, the only one in its fold",
    "background": "the patch that is painted on",
    "turn": "which of the 8 symmetries of a square the mask went through",
    "y": "row of the mask's upper edge",
    "x": "column of the mask's left edge",
    "label_pixels": "px of the label",
    "crop_y": "row of the upper edge of the square around paint and some ground",
    "crop_x": "column of its left edge",
    "crop_size": "its side in px",
    "seed": "of all that is drawn for it",
    "synthetic_id": "the painted patch",
    "chunk": "number of its file",
    "place_in_chunk": "its place there",
    "engine": "what painted it",
    "model_fingerprint": "of the model that it was painted with",
    "bit_depth": "bits of a painted value",
    "accepted": "whether it may be learned from",
    "reason": "why not, in words",
    "changed_share": "share of the label that changed",
    "detected_share": "share of the label that detectors confirm",
    "real_error": "mean loss of fire and ground in its paint under a network trained on real data alone",
    "changed_limit": "that share, of real fires: below it a patch is rejected, but for chance",
    "detected_limit": "that share, of real fires: below it a patch is rejected, but for chance",
    "nearest_patch": "the train patch with the fire most like it",
    "nearest_y": "row of that fire's centre",
    "nearest_x": "column of that fire's centre",
    "nearest_distance": "distance to that fire, in standard deviations of real fires; 0 is a copy",
    "copy": "copy, no copy, or too small to tell",
    "step": "optimizer steps done",
    "train_loss": "mean loss since the row before",
    "val_dice_micro": "Dice over the pixels of the validation part",
    "val_precision": "precision there",
    "val_recall": "recall there",
    "tp": "px of fire that were found",
    "fp": "px falsely found",
    "fn": "px of fire that were missed",
    "tn": "px without fire, and none found",
    "area_km2": "area of the px that count",
    "dice": "2 tp / (2 tp + fp + fn); empty without fire",
    "iou": "tp / (tp + fp + fn)",
    "precision": "tp / (tp + fp)",
    "recall": "tp / (tp + fn)",
}
_OF_ASSETS: Final = {
    ("landsat_patches", "row"): "WRS-2 row",
    ("landsat_patches", "mask"): "the file of its label",
}
"""What a column means in one asset alone."""


def column_schema(asset: str, file: Path) -> dg.TableSchema:
    """Return the columns of an asset's Parquet file, with their types and what they hold."""
    from pyarrow.parquet import read_schema

    return dg.TableSchema(
        [dg.TableColumn(field.name, str(field.type), meaning(asset, field.name)) for field in read_schema(file)]
    )


def meaning(asset: str, column: str) -> str | None:
    """Return what a column holds; None where that isn't known."""
    if (told := _OF_ASSETS.get((asset, column)) or _MEANING.get(column)) is not None:
        return told
    if column.endswith("_pixels"):
        return f"px of the label that {column.removesuffix('_pixels')} sees"
    if column.endswith("_score"):
        return f"what rule {column.removesuffix('_score')} measured; empty where it can't tell"
    if column.endswith("_limit"):
        return f"score at which rule {column.removesuffix('_limit')} rejects; empty where there is none for all"
    return None
