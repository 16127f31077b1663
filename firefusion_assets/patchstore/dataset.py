"""Patches for a plain PyTorch loop: items as the datasets of torchgeo give them. torch is loaded here alone."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from firefusion_assets.patchstore.reader import Patches, PatchStoreError

IGNORED: Final = 255
"""Value of a mask's pixels that loss and metrics shall leave out (`ignore_index`)."""

Sample = dict[str, Any]


class Place(NamedTuple):
    """Where a patch lies.

    Attributes:
        crs: coordinate reference system; empty where unknown.
        transform: six coefficients from (sample, line) to coordinates.
        acquired: day of the pass as ISO text; empty where unknown.
    """

    crs: str
    transform: tuple[float, ...]
    acquired: str = ""

    def bounds(self, size: int) -> tuple[float, float, float, float]:
        """Return left, bottom, right and top of a patch of `size` px; NaN without a CRS."""
        if not self.crs:
            return (float("nan"),) * 4
        a, b, c, d, e, f = self.transform[:6]
        corners = [(c + a * x + b * y, f + d * x + e * y) for x in (0, size) for y in (0, size)]
        (left, right), (bottom, top) = ((min(axis), max(axis)) for axis in zip(*corners, strict=True))
        return left, bottom, right, top


class PatchDataset(Dataset[Sample]):
    """Patches of a base store with overlays over it, one a sample.

    A sample is a dict that PyTorch's own collating takes:

    - `image`: float32 DN (C, H, W), 0 in all bands is fill
    - `mask`: int64 (H, W), 1 is fire, 0 is none, 255 is left out of loss and metrics
    - `id`: the patch's name
    - `weight`: float32 (), factor on its loss
    - `crs` and `bounds` if places are given: text, empty where unknown, and float64 (4,), left, bottom, right and top
      in that CRS, NaN where unknown

    Each process that reads opens the stores for itself, so that a `DataLoader` may have any number of workers, started
    in any way.

    Args:
        base: folder of the base store.
        overlays: folders of overlay stores; later ones win.
        ids: the patches, in order; by default those of the base and then what the overlays add.
        bands: names of the bands, in order; by default all of the store.
        transforms: takes a sample and returns what is given instead.
        fold: the fold whose overlay patches are read.
        replicate: the replicate whose overlay patches are read.
        places: where patches lie, by id.

    Attributes:
        ids: the patches, in order.
        bands: names of the bands, in order.
        patch_size: height and width, in px.
        places: where patches lie, by id; None if nothing is known of any.

    Raises:
        PatchStoreError: if a store can't be read, or lacks a patch.
        ValueError: if the store lacks a band.
    """

    def __init__(
        self,
        base: Path,
        overlays: Sequence[Path] = (),
        ids: Sequence[str] | None = None,
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        *,
        fold: int = 0,
        replicate: int = 0,
        places: Mapping[str, Place] | None = None,
    ) -> None:
        self._stores = Path(base), tuple(map(Path, overlays)), fold, replicate
        self._patches: Patches | None = None
        self._opened_by = 0
        patches = Patches(*self._stores)  # closed again below: what is open must not be there when a worker is forked
        held = dict.fromkeys([*patches.base_ids, *patches.added_ids])
        self.ids = list(held if ids is None else ids)
        if missing := [patch_id for patch_id in self.ids if patch_id not in held]:
            raise PatchStoreError(f"no store holds patch {missing[0]!r} and {len(missing) - 1} more of those asked for")
        self.bands = tuple(patches.meta.bands if bands is None else bands)
        self._rows = patches.meta.band_rows(self.bands)
        self.patch_size = patches.meta.patch_size
        self.transforms = transforms
        self.places = places

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        patch_id = self.ids[index]
        patch = self._open().read(patch_id)
        mask = patch.label.astype(np.int64)
        mask[patch.ignore] = IGNORED
        sample: Sample = {
            "image": torch.from_numpy(patch.bands[self._rows].astype(np.float32)),
            "mask": torch.from_numpy(mask),
            "id": patch_id,
            "weight": torch.tensor(patch.weight, dtype=torch.float32),
        }
        if self.places is not None:
            place = self.places.get(patch_id, Place("", ()))
            sample |= {"crs": place.crs, "bounds": _tensor(place.bounds(self.patch_size))}
        return sample if self.transforms is None else self.transforms(sample)

    def _open(self) -> Patches:
        """Return the stores as this process opened them."""
        if self._patches is None or self._opened_by != os.getpid():
            self._patches = None  # first let go of what a fork inherited: LMDB opens a file once a process
            self._patches, self._opened_by = Patches(*self._stores), os.getpid()
        return self._patches

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_patches": None}


def _tensor(numbers: Sequence[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
