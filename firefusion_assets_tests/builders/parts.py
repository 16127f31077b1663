"""A small train part with real-looking fires, for the tests of painting."""

from pathlib import Path

import numpy as np
import pandas as pd

from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta

BANDS = ("B2", "B5", "B6", "B7")


def make_part(folder: Path, size: int = 32, n_free: int = 5, n_fire: int = 4) -> PatchPart:
    """Patches `free-N` without and `fire-N` with a fire; one of each has fill along its left side."""
    rng = np.random.default_rng(5)
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=size)) as writer:
        for number in range(n_free + n_fire):
            bands = rng.integers(7000, 12000, (4, size, size)).astype(np.uint16)
            label, ignore = np.zeros((2, size, size), bool)
            if number >= n_free:
                y, x = rng.integers(size // 4, size // 2, 2)
                height, width = rng.integers(1, size // 4, 2)
                label[y : y + height, x : x + width] = rng.random((height, width)) < 0.8
                label[y, x] = True
                bands[2:, label] = rng.integers(25000, 65000, (2, int(label.sum())))
            if number in (0, n_free):
                ignore[:, :3] = True
                bands[:, ignore] = 0
            name = f"free-{number}" if number < n_free else f"fire-{number - n_free}"
            writer.add_patch(name, Patch(bands, label & ~ignore, ignore))
    patches = Patches(folder)
    return PatchPart(patches, patches.base_ids)


def table_of(part: PatchPart, scenes: int = 2) -> pd.DataFrame:
    """What stands in the table of patches about a part, its patches dealt to scenes in turn."""
    rows = []
    for number, patch_id in enumerate(part.ids):
        patch = part.read(patch_id)
        rows.append(
            {
                "patch_id": patch_id,
                "scene": f"scene-{number % scenes}",
                "fire_pixels": int(patch.label.sum()),
                "valid_pixels": int((~patch.ignore).sum()),
                "sun_elevation": 50.0,
            }
        )
    return pd.DataFrame(rows).set_index("patch_id")
