"""Which real fire of the train part a painted fire resembles most: memorisation shows inside the mask.

Whole images tell nothing here, since the ground around a painted fire is another one on purpose. So fires are
compared component by component, by their contrast to the ground around them, over the 8 turns of the square.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.core.orientation import ORIENTATIONS, turned
from firefusion_assets.inpainting.masks import Mask
from firefusion_assets.patchstore import Patch, PatchPart

LEAST_PIXELS: Final = 4
"""Smaller fires are not compared: single pixels are alike by chance."""

LEAST_OVERLAP: Final = 0.5
"""Share (intersection over union of the masks) from which two fires are compared at all."""

_GROUND_FROM, _GROUND_TO = 4, 8
"""px from a fire between which its ground is taken."""


@dataclass(frozen=True)
class NearestFire:
    """The most similar real fire.

    Attributes:
        patch_id: the train patch it burns in; empty if no mask is similar enough to compare.
        y: row of its centre in that patch.
        x: column of its centre in that patch.
        distance: root mean square difference of contrasts inside both masks, in standard deviations of real
            fires' contrasts; 0 is a copy; missing if nothing was compared.
    """

    patch_id: str = ""
    y: int = 0
    x: int = 0
    distance: float = float("nan")


@dataclass(frozen=True)
class _Fire:
    """One connected fire: bool (h, w) within its box, its contrast to the ground, float (C, h, w), and its centre."""

    mask: Mask
    contrast: npt.NDArray[np.float64]
    y: int
    x: int


class TrainingFires:
    """The real fires of a train part, to compare painted ones with.

    Args:
        part: the fold's train part.
    """

    def __init__(self, part: PatchPart) -> None:
        patches = ((patch_id, part.read(patch_id)) for patch_id in part.ids)
        self._fires = [
            (patch_id, fire)
            for patch_id, patch in patches
            if patch.label.any()
            for fire in _fires(patch.bands, patch.label & ~patch.ignore, patch.ignore)
        ]
        contrasts = [fire.contrast[:, fire.mask] for _, fire in self._fires]
        spread = np.concatenate(contrasts, axis=1).std(axis=1) if contrasts else np.ones(len(part.meta.bands))
        self._spread = np.maximum(spread, 1.0)

    def nearest(self, painted: Patch) -> NearestFire:
        """Return the real fire that is most like one of a painted patch's fires.

        Args:
            painted: a synthetic patch; its label says where its fires are.
        """
        best = NearestFire()
        for fire in _fires(painted.bands, painted.label, painted.ignore & ~painted.label):
            size = fire.mask.sum()
            for patch_id, real in self._fires:
                if not LEAST_OVERLAP <= real.mask.sum() / size <= 1 / LEAST_OVERLAP:
                    continue
                distance = self._distance(fire, real)
                if np.isfinite(distance) and not distance >= best.distance:
                    best = NearestFire(patch_id, real.y, real.x, distance)
        return best

    def _distance(self, fire: _Fire, real: _Fire) -> float:
        """Return the smallest distance over the turns, boxes centred on each other; infinite without overlap."""
        height, width = fire.mask.shape
        smallest = float("inf")
        for turn in range(ORIENTATIONS):
            mask = centred(turned(real.mask, turn), height, width).astype(bool)
            both = fire.mask & mask
            if both.sum() < LEAST_OVERLAP * (fire.mask.sum() + real.mask.sum() - both.sum()):
                continue
            contrast = centred(turned(real.contrast, turn), height, width)
            difference = (fire.contrast - contrast)[:, both] / self._spread[:, None]
            smallest = min(smallest, float(np.sqrt((difference**2).mean())))
        return smallest


def _fires(bands: npt.NDArray[np.uint16], mask: Mask, ignore: Mask) -> Iterator[_Fire]:
    numbers = numbered_fires(mask)
    for number, box in enumerate(find_objects(numbers), start=1):
        piece = numbers[box] == number
        if piece.sum() < LEAST_PIXELS:
            continue
        # All that follows looks at the fire's surroundings only, however large the patch.
        window = tuple(slice(max(0, side.start - _GROUND_TO), side.stop + _GROUND_TO) for side in box)
        alone = numbers[window] == number
        near = dilated(alone, _GROUND_TO) & ~dilated(mask[window], _GROUND_FROM) & ~ignore[window]
        ground = np.median(bands[:, *window][:, near], axis=1) if near.any() else np.zeros(len(bands))
        y, x = ((side.start + side.stop) // 2 for side in box)
        yield _Fire(piece, bands[:, *box].astype(np.float64) - ground[:, None, None], y, x)


def centred(array: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Return the last two axes cut or zero-padded around their centre to (height, width)."""
    (y, from_y), (x, from_x) = (
        _middles(wanted, size) for wanted, size in zip((height, width), array.shape[-2:], strict=True)
    )
    result = np.zeros((*array.shape[:-2], height, width), array.dtype)
    result[..., y, x] = array[..., from_y, from_x]
    return result


def _middles(one: int, other: int) -> tuple[slice, slice]:
    """Return what two lengths share when they are centred on each other, as a part of each."""
    first, start, common = max(0, (one - other) // 2), max(0, (other - one) // 2), min(one, other)
    return slice(first, first + common), slice(start, start + common)


def cut_around(patch: Patch, y: int, x: int, side: int) -> npt.NDArray[np.uint16]:
    """Return a patch's bands in a square around a pixel, moved so as to stay inside: uint16 (C, side, side)."""
    top, left = (int(np.clip(middle - side // 2, 0, patch.label.shape[0] - side)) for middle in (y, x))
    return patch.bands[:, top : top + side, left : left + side]
