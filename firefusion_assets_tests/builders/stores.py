"""Patch stores of random patches."""

from pathlib import Path

import numpy as np

from firefusion_assets.patchstore import Patch, PatchWriter, StoreMeta


def random_patch(seed: int, n_bands: int, size: int, weight: float = 1.0) -> Patch:
    rng = np.random.default_rng(seed)
    return Patch(
        rng.integers(0, 65536, (n_bands, size, size), dtype=np.uint16),
        rng.random((size, size)) < 0.1,
        rng.random((size, size)) < 0.1,
        weight,
    )


def write(path: Path, patches: dict[str, Patch]) -> Path:
    first = next(iter(patches.values()))
    bands = tuple(f"B{i + 1}" for i in range(first.bands.shape[0]))
    with PatchWriter(path, StoreMeta(study="t", bands=bands, patch_size=first.bands.shape[1])) as writer:
        for patch_id, patch in patches.items():
            writer.add_patch(patch_id, patch)
    return path
