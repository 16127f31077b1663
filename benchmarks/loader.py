"""Samples a second and bytes read, against one get of float32 records a sample through a plain DataLoader."""

import os
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import lmdb
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.patch_store import SIZE, example_patches, write_plain, write_store
from firefusion_assets.patchstore import Patches
from firefusion_assets.patchstore.loader import load_batches

_PATCHES, _BATCH_SIZE = 800, 8
_WARM_UP, _BATCHES, _ROUNDS = 100, 400, 5
_COLD = 100


class _PlainSamples(Dataset[tuple[Tensor, Tensor]]):
    """The thesis' layout, one sample an item; opened where it is first read, as LMDB wants it."""

    def __init__(self, path: Path, stems: list[str]) -> None:
        self._path, self._stems = path, stems
        self._transaction: lmdb.Transaction | None = None

    def __len__(self) -> int:
        return len(self._stems)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        if self._transaction is None:
            env = lmdb.open(str(self._path), readonly=True, lock=False, readahead=False, meminit=False)
            self._transaction = env.begin()
        records = (self._transaction.get(key.encode()) for key in (self._stems[i], f"{self._stems[i]}_mask"))
        image, mask = (np.frombuffer(record, np.float32).reshape(-1, SIZE, SIZE) for record in records)
        return torch.from_numpy(image), torch.from_numpy(mask)


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield bytes that a cold sample reads, and samples a second with no and with two workers, the page cache warm."""
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # a copy would slow the baseline
    ids = [f"patch-{i:04d}" for i in range(_PATCHES)]
    order = random.Random(0).choices(ids, k=_BATCH_SIZE * (_WARM_UP + _BATCHES))  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        stored, plain = Path(folder) / "stored", Path(folder) / "plain"
        write_store(stored, ids, example_patches())
        write_plain(plain, ids, example_patches())

        def our_batches(n_workers: int) -> Iterable[Tensor]:
            batches = [order[i : i + _BATCH_SIZE] for i in range(0, len(order), _BATCH_SIZE)]
            return (
                torch.from_numpy(batch.bands) for batch in load_batches(Patches(stored), batches, workers=n_workers)
            )

        def plain_batches(n_workers: int) -> Iterable[Tensor]:
            loader = DataLoader(_PlainSamples(plain, order), _BATCH_SIZE, num_workers=n_workers)
            return (images for images, _ in loader)

        cold = [ids[i] for i in random.Random(1).sample(range(_PATCHES), _COLD)]  # noqa: S311
        ours = _bytes_read(stored, lambda: load_batches(Patches(stored), [cold]))
        theirs = _bytes_read(plain, lambda: DataLoader(_PlainSamples(plain, cold), _COLD))
        yield "bytes read a sample, page cache cold (float32)", ours / _COLD, theirs / _COLD
        for n_workers in (0, 2):
            rates = [  # in turns, so that a slow moment of the machine hits both
                (_rate(our_batches(n_workers)), _rate(plain_batches(n_workers))) for _ in range(_ROUNDS)
            ]
            yield f"samples a second, {n_workers} workers (plain DataLoader)", *map(median, zip(*rates, strict=True))


def _rate(batches: Iterable[Tensor]) -> float:
    """Return samples a second after some batches of warming up."""
    source = iter(batches)
    for _ in islice(source, _WARM_UP):
        pass
    start = time.perf_counter()
    n = sum(len(batch) for batch in source)
    return n / (time.perf_counter() - start)


def _bytes_read(store: Path, read: Callable[[], Iterable[Any]]) -> int:
    """Return the bytes that reading brings from the disk; 0 where the file lies in memory anyway."""
    with (store / "data.mdb").open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    before = _disk_reads()
    for _ in read():
        pass
    return _disk_reads() - before


def _disk_reads() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes")).split()[1])
