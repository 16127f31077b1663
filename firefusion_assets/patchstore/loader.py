"""Batches read ahead by worker processes, into arrays that they share with the process that wants them.

A DataLoader that is given a batch makes a new shared-memory file for each of its arrays, which costs more than
reading it. Here the arrays are made once and filled in turn; only numbers go through the queue.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from firefusion_assets.patchstore.part import PatchPart
from firefusion_assets.patchstore.reader import Patches
from firefusion_assets.patchstore.records import PatchBatch

_AHEAD = 2


def load_batches(
    patches: Patches | PatchPart, batches: Sequence[Sequence[str]], rows: Sequence[int] | None = None, workers: int = 0
) -> Iterator[PatchBatch]:
    """Give batch after batch, in order, whatever the number of workers; each is the caller's own to keep.

    Args:
        patches: what to read from.
        batches: ids of each batch.
        rows: rows of the records' bands, in the order wanted; all by default.
        workers: processes that read ahead; none by default.

    Raises:
        PatchStoreError: if no store holds one of the patches.
        LeakError: if one of the patches is outside the part.
    """
    if not workers:
        for ids in batches:
            yield patches.read_batch(ids, rows)
        return
    slots = _Slots(patches, batches, rows, n=workers * _AHEAD + 1)  # what is on its way, and what was given last
    loader = DataLoader(slots, batch_size=None, num_workers=workers, prefetch_factor=_AHEAD)
    for number in loader:
        yield slots.batch(number).copy()


class _Slots(Dataset[int]):
    """Shared arrays that workers fill in turn: item i fills slot i modulo their number and is its own number."""

    def __init__(
        self, patches: Patches | PatchPart, batches: Sequence[Sequence[str]], rows: Sequence[int] | None, n: int
    ) -> None:
        self._patches, self._batches, self._rows = patches, batches, rows
        largest = max((len(ids) for ids in batches), default=0)
        n_bands = len(patches.meta.bands if rows is None else rows)
        self._slots: list[list[Tensor]] = [
            [
                torch.from_numpy(array).share_memory_()
                for array in PatchBatch.empty(largest, n_bands, patches.meta.patch_size)
            ]
            for _ in range(n)
        ]

    def batch(self, number: int) -> PatchBatch:
        """Return the arrays of a batch, as views of its slot."""
        slot = self._slots[number % len(self._slots)]
        return PatchBatch(*(tensor.numpy() for tensor in slot)).first(len(self._batches[number]))

    def __getitem__(self, number: int) -> int:
        self._patches.read_batch(self._batches[number], self._rows, out=self.batch(number))
        return number

    def __len__(self) -> int:
        return len(self._batches)
