"""Patches in the thesis' layout.

One LMDB of float32 records, `{stem}` (3, 256, 256) with bands 7, 6, 2 as DN / 65535 and `{stem}_mask` (1, 256, 256),
and `train.csv`, `val.csv` and `test.csv` with a line `stem,fire_pixels` a patch and no header. Nothing in the project
reads this layout.
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.folders import is_new
from firefusion_assets.patchstore.environment import WritableMap
from firefusion_assets.patchstore.reader import Patches

_BANDS: Final = ("B7", "B6", "B2")
_SIZE: Final = 256
_DN_MAX: Final = 65535
_BYTES_A_PATCH: Final = (len(_BANDS) + 1) * 4 * _SIZE**2


def export(patches: Patches, parts: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Write patches in the thesis' layout; the CSV files come last, so that what was cut short isn't taken for whole.

    The layout has no place for ignored pixels and for weights: an ignored pixel is written as free of fire, and a
    weight is lost.

    Args:
        patches: a base with the overlays to export.
        parts: ids by part; each part gets a CSV file of its name.
        folder: a new or empty one.

    Raises:
        RequestError: with all that the layout can't hold, or if the folder isn't empty.
        OSError: if the disk has no room or fails.
    """
    meta = patches.meta
    problems = [f"the store lacks {band}: add it to dataset.bands" for band in _BANDS if band not in meta.bands]
    if meta.patch_size != _SIZE:
        problems.append(f"dataset.patch_size is {meta.patch_size}, the thesis' layout has {_SIZE} px")
    if not is_new(folder):
        problems.append(f"{folder}: is not empty; name a new folder")
    if problems:
        raise RequestError("; ".join(problems))
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(map(len, parts.values())) * _BYTES_A_PATCH, shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"{folder}: the export takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    rows = meta.band_rows(_BANDS)
    fire_pixels: dict[str, int] = {}
    records = WritableMap(folder)
    try:
        for patch_id in (patch_id for ids in parts.values() for patch_id in ids):
            patch = patches.read(patch_id)
            mask = patch.label & ~patch.ignore
            records.put(patch_id.encode(), (patch.bands[rows].astype("<f4") / np.float32(_DN_MAX)).tobytes())
            records.put(f"{patch_id}_mask".encode(), mask.astype("<f4").tobytes())
            fire_pixels[patch_id] = int(mask.sum())
        records.publish()
    finally:
        records.close()
    for part, ids in parts.items():
        with (folder / f"{part}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows((patch_id, fire_pixels[patch_id]) for patch_id in ids)
