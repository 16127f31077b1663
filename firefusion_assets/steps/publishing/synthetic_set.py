"""The folder `synthetic-set/`: the accepted painted patches as GeoTIFF with labels, a table and a data card."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from huggingface_hub import DatasetCardData

from firefusion_assets.geodata.patches import write_patch
from firefusion_assets.patchstore import Patch
from firefusion_assets.steps.publishing.card import Subject, write_card
from firefusion_assets.steps.publishing.generator import screened

TABLE: Final = "metadata.csv"
_IGNORED: Final = 255
_COLUMNS: Final = {
    "file_name": "the patch, a GeoTIFF",
    "label_file": "its label, a GeoTIFF",
    "synthetic_id": "its name",
    "background": "the real patch that was painted on",
    "background_scene": "that patch's scene",
    "mask_patch": "the real patch whose fire gave the shape",
    "seed": "seed of the painting",
    "label_pixels": "pixels of the label that were painted",
    "ignored_pixels": "pixels that a training leaves out",
    "changed_share": "share of the asked-for shape that differs from the ground",
    "detected_share": "share of it that the detectors see; empty without detectors",
    "nearest_patch": "the training patch with the fire most like it; empty if none is of like shape",
    "nearest_distance": "distance to that fire, in standard deviations of real fires' contrasts",
    "copy": "whether that makes it a copy of a real fire",
    "engine": "what painted",
    "sun_elevation": "degrees above the horizon; empty where unknown",
    "crs": "coordinate reference system; empty where unknown",
}
"""Columns of the table, and what they hold."""


def write_synthetic_set(subject: Subject, folder: Path) -> str:
    """Write a replicate's accepted painted patches into a new folder; return a line on it."""
    known = _known(subject)
    rows = []
    for patch_id in subject.painted_ids:
        patch, row = subject.patches.read(patch_id), known.loc[patch_id]
        _write_patch(folder, patch_id, patch, subject.patches.meta.bands, row)
        rows.append(
            {
                **row,
                "file_name": f"images/{patch_id}.tif",
                "label_file": f"labels/{patch_id}.tif",
                "synthetic_id": patch_id,
                "ignored_pixels": int(patch.ignore.sum()),
            }
        )
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    table.to_csv(folder / TABLE, index=False, lineterminator="\n")
    judged, screening = screened(subject)
    front = DatasetCardData(
        pretty_name=f"{subject.study.name}, {subject.key}: painted patches",
        **subject.licence.front,
        task_categories=["image-segmentation"],
        size_categories=_size(len(rows)),
        annotations_creators=["machine-generated"],
        tags=["remote-sensing", "synthetic", "firefusion"],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": TABLE}]}],
    )
    write_card(
        subject,
        folder,
        "synthetic_set.md",
        front,
        n=len(rows),
        n_backgrounds=table["background"].nunique(),
        n_scenes=table["background_scene"].nunique(),
        copies=table["copy"].value_counts().to_dict(),
        columns=_COLUMNS,
        tried=len(judged),
        **screening,
    )
    return f"{folder}: {len(rows)} painted patches"


def _known(subject: Subject) -> pd.DataFrame:
    """Return what is known of each painted patch, by its id."""
    lineage, key, replicate = subject.lineage, subject.key, subject.replicate
    folders = [lineage.find(asset, key).path / replicate.folder for asset in ("synthetic_images", "screened_images")]
    painted = pd.read_parquet(folders[0] / "provenance.parquet").set_index("synthetic_id")
    verdicts = pd.read_parquet(folders[1] / "verdicts.parquet").set_index("synthetic_id")
    scenes = replicate.fold.table["scene"]
    return (
        # Label pixels of the shape that was asked for; the verdicts have those that are learned.
        painted.drop(columns="label_pixels")
        .rename(columns={"mask": "mask_patch"})
        .join(verdicts)
        .assign(background_scene=scenes.reindex(painted["background"]).to_numpy())
    )


def _write_patch(folder: Path, patch_id: str, patch: Patch, bands: tuple[str, ...], row: pd.Series) -> None:
    label = patch.label.astype(np.uint8)
    label[patch.ignore] = _IGNORED
    tags = {"BACKGROUND": row["background"], "SEED": str(row["seed"]), "SYNTHETIC": "yes"}
    write_patch(folder / "images" / f"{patch_id}.tif", patch.bands, bands, row, tags=tags)
    write_patch(folder / "labels" / f"{patch_id}.tif", label[None], ["label"], row, nodata=_IGNORED, tags=tags)


def _size(n: int) -> str:
    """Return the hub's name of a number of rows."""
    limits = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for limit, name in limits.items() if n < limit), "1M<n<10M")
