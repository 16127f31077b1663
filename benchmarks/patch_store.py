"""Bytes and write time of stores, against the thesis' layout: float32 records, all of them again for each config."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import lmdb
import numpy as np

from firefusion_assets.patchstore import Patch, PatchWriter, StoreMeta

SIZE = 256
META = StoreMeta(study="bench", bands=("B7", "B6", "B2"), patch_size=SIZE)
_PATCHES, _SYNTHETIC, _CONFIGS = 2000, 200, 10
_KINDS = 16


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield bytes a patch, and GB and seconds of a ladder of configs; the baseline writes one config, times ten."""
    patches = example_patches()
    base = [f"real-{i}" for i in range(_PATCHES)]
    with tempfile.TemporaryDirectory() as folder:
        ours = [Path(folder) / "base", *(Path(folder) / f"overlay-{config}" for config in range(_CONFIGS))]
        plain = Path(folder) / "plain"
        seconds = _timed(lambda: write_store(ours[0], base, patches))
        for config, path in enumerate(ours[1:]):
            added = [f"synthetic-{config}-{i}" for i in range(_SYNTHETIC)]
            seconds += _timed(lambda path=path, added=added: write_store(path, added, patches))  # type: ignore[misc]
        stems = [*base, *(f"synthetic-{i}" for i in range(_SYNTHETIC))]
        plain_seconds = _timed(lambda: write_plain(plain, stems, patches))
        yield "a stored patch, bytes (baseline: float32)", _size(ours[0]) / len(base), _size(plain) / len(stems)
        yield "base and ten overlays, GB (ten rewrites)", sum(map(_size, ours)) / 1e9, _CONFIGS * _size(plain) / 1e9
        yield "writing base and ten overlays, s (ten rewrites)", seconds, _CONFIGS * plain_seconds


def example_patches() -> list[Patch]:
    """Return some patches of random DN; records aren't compressed, so their content doesn't matter."""
    rng = np.random.default_rng(0)
    return [
        Patch(
            rng.integers(1, 65536, (len(META.bands), SIZE, SIZE), np.uint16),
            rng.random((SIZE, SIZE)) < 0.01,
            np.zeros((SIZE, SIZE), bool),
        )
        for _ in range(_KINDS)
    ]


def write_store(path: Path, ids: Iterable[str], patches: list[Patch]) -> None:
    """Write a store in which the patches come again and again."""
    with PatchWriter(path, META) as writer:
        for i, patch_id in enumerate(ids):
            writer.add_patch(patch_id, patches[i % _KINDS])


def write_plain(path: Path, stems: Iterable[str], patches: list[Patch]) -> None:
    """Write the same in the thesis' layout, in one transaction into a map of fixed size."""
    path.mkdir()
    with lmdb.open(str(path), map_size=2**36) as env, env.begin(write=True) as transaction:
        for i, stem in enumerate(stems):
            patch = patches[i % _KINDS]
            transaction.put(stem.encode(), (patch.bands.astype(np.float32) / 65535).tobytes())
            transaction.put(f"{stem}_mask".encode(), patch.label[None].astype(np.float32).tobytes())


def _timed(write: Callable[[], None]) -> float:
    start = time.perf_counter()
    write()
    return time.perf_counter() - start


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
