"""Batches hold what single reads give, in any process, in whatever order workers come to them."""

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from firefusion_assets.patchstore import (
    LeakError,
    Patch,
    PatchBatch,
    Patches,
    PatchPart,
    PatchWriter,
    StoreMeta,
)
from firefusion_assets_tests.builders.stores import random_patch, write

SIZE, N_BANDS = 9, 3


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Patch]:
    return {f"p{i}": random_patch(i, N_BANDS, SIZE, weight=1 + i / 7) for i in range(20)}


@pytest.fixture(scope="module")
def store(written: dict[str, Patch], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("batches") / "base", written)


def expected(patches: dict[str, Patch], ids: Sequence[str], rows: Sequence[int], turns: Sequence[int]) -> PatchBatch:
    """Each pixel looked up by its place: a turn is a number of quarter turns, then, from 4 on, a mirror."""
    batch = PatchBatch.empty(len(ids), len(rows), SIZE)
    for place, (patch_id, turn) in enumerate(zip(ids, turns, strict=True)):
        patch = patches[patch_id]
        for y in range(SIZE):
            for x in range(SIZE):
                row, column = y, SIZE - 1 - x if turn >= 4 else x
                for _ in range(turn % 4):
                    row, column = column, SIZE - 1 - row
                batch.bands[place, :, y, x] = [patch.bands[row_of_band, row, column] for row_of_band in rows]
                batch.label[place, y, x] = patch.label[row, column]
                batch.ignore[place, y, x] = patch.ignore[row, column]
        batch.weight[place] = patch.weight
    return batch


def assert_same(got: PatchBatch, want: PatchBatch) -> None:
    for array, other in zip(got, want, strict=True):
        assert array.dtype == other.dtype
        np.testing.assert_array_equal(array, other)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_batch_holds_patches_bands_and_orientations_as_asked(
    store: Path, written: dict[str, Patch], data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.sampled_from(sorted(written)), max_size=5))
    rows = data.draw(st.lists(st.integers(0, N_BANDS - 1), min_size=1, max_size=4))
    turns = data.draw(st.lists(st.integers(0, 7), min_size=len(ids), max_size=len(ids)))
    batch = Patches(store).read_batch(ids, rows, turns)
    assert_same(batch, expected(written, ids, rows, turns))
    assert all(array.flags.c_contiguous and array.flags.owndata for array in batch)


def test_a_batch_sees_overlays(store: Path, written: dict[str, Patch], tmp_path: Path) -> None:
    other = random_patch(99, N_BANDS, SIZE, weight=0.5)
    with PatchWriter(tmp_path, StoreMeta(study="t", bands=("B1", "B2", "B3"), patch_size=SIZE)) as writer:
        writer.add_patch("syn", other, fold=0)
    seen = written | {"syn": other}
    ids = ["p1", "syn", "p0", "p2"]
    assert_same(Patches(store, [tmp_path]).read_batch(ids), expected(seen, ids, range(N_BANDS), [0] * 4))


def test_a_part_gives_no_batch_with_a_foreign_patch(store: Path) -> None:
    part = PatchPart(Patches(store), ["p0", "p1"])
    assert part.read_batch(["p1", "p0"]).bands.shape == (2, N_BANDS, SIZE, SIZE)
    with pytest.raises(LeakError, match="'p2' is not in this part"):
        part.read_batch(["p0", "p2"])


class _Samples(Dataset[int]):
    """The sum of one patch an item, as any data set of a user's own may read."""

    def __init__(self, patches: Patches) -> None:
        self.patches = patches

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, i: int) -> int:
        return int(self.patches.read(f"p{i}").bands.sum(dtype=np.int64))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_plain_data_loader_share_a_reader_that_was_in_use(
    store: Path, written: dict[str, Patch], method: str
) -> None:
    patches = Patches(store)
    patches.read("p0")  # the map is open when the workers start
    context = multiprocessing.get_context(method)
    loader = DataLoader(_Samples(patches), batch_size=None, num_workers=2, multiprocessing_context=context)
    sums = [int(patch.bands.sum(dtype=np.int64)) for patch in written.values()]
    for _ in range(2 if method == "fork" else 1):
        assert list(loader) == sums
    assert patches.read("p1").bands.sum(dtype=np.int64) == sums[1]  # workers that ended took nothing with them
