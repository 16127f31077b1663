"""What it costs that a step compares what it reads with what was published, against the training that follows."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.patchstore import Patch, PatchWriter, StoreMeta
from firefusion_assets.segmentation.training import TrainingJob, train_unet
from firefusion_assets.study.loading import load_study

_DEMO: Final = Path(__file__).parents[1] / "data" / "demo"
_N: Final = 640
"""Patches of the demo's base store."""


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield seconds of verifying a base store of the demo's size, against one training on it by the demo's recipe."""
    recipe = load_study(_DEMO).training
    ids = tuple(f"p{number:03d}" for number in range(_N))
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        store.build("landsat_patches", "base", _write)
        started = time.perf_counter()
        base = store.find("landsat_patches", "base", whole=True)
        verifying = time.perf_counter() - started
        assert base is not None
        job = TrainingJob(
            base=base.path / "base.lmdb",
            seed=1,
            train_ids=ids[: _N // 3],
            val_ids=ids[-_N // 8 :],
            training=recipe,
            threshold=0.5,
        )
        started = time.perf_counter()
        train_unet(job, Path(folder) / "work")
        yield f"verifying {_N} patches on read, s (one training)", verifying, time.perf_counter() - started


def _write(work: Path) -> Mapping[str, Any]:
    """Write patches of 64 px and ten bands, every fourth one with fire."""
    rng = np.random.default_rng(1)
    with PatchWriter(work / "base.lmdb", StoreMeta(study="bench", bands=FILE_BANDS, patch_size=64)) as writer:
        for number in range(_N):
            label = np.zeros((64, 64), bool)
            label[5:15, 5:15] = number % 4 == 0
            bands = rng.integers(6000, 12000, (len(FILE_BANDS), 64, 64)).astype(np.uint16)
            writer.add_patch(f"p{number:03d}", Patch(bands, label, np.zeros_like(label)))
    return {}
