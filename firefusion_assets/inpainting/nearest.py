"""Which real fire of the train part a painted fire resembles most: memorisation shows inside the mask.

Whole images tell nothing here, since the ground around a painted fire is another patch on purpose.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.inpainting.masks import Mask, trimmed, turned
from firefusion_assets.patchstore import PatchPart

LEAST_OVERLAP: Final = 0.5
"""Share (intersection over union of the masks) from which two fires are compared at all."""


@dataclass(frozen=True)
class NearestFire:
    """The most similar real fire.

    Attributes:
        patch_id: the train patch it burns in; empty if no mask is similar enough to compare.
        distance: root mean square difference inside both masks, in standard deviations of real fire pixels;
            0 is a copy; missing if nothing was compared.
    """

    patch_id: str
    distance: float


@dataclass(frozen=True)
class _Fire:
    patch_id: str
    bands: npt.NDArray[np.uint16]
    mask: Mask


class TrainingFires:
    """The real fires of a train part, to compare painted ones with.

    Args:
        part: the fold's train part.
    """

    def __init__(self, part: PatchPart) -> None:
        self._fires: list[_Fire] = []
        pixels = []
        for patch_id in part.ids:
            patch = part.read(patch_id)
            if patch.label.any():
                mask, y, x = trimmed(patch.label)
                bands = patch.bands[:, y : y + mask.shape[0], x : x + mask.shape[1]]
                self._fires.append(_Fire(patch_id, bands, mask))
                pixels.append(patch.bands[:, patch.label])
        spread = np.concatenate(pixels, axis=1).std(axis=1) if pixels else np.ones(len(part.meta.bands))
        self._spread = np.maximum(spread, 1.0)

    def nearest(self, painted: npt.NDArray[np.uint16], label: Mask) -> NearestFire:
        """Return the real fire that is most like a painted one, over its 8 turns, boxes centred on each other.

        Args:
            painted: uint16 (C, H, W).
            label: bool (H, W), where the painted fire is; not empty.
        """
        mask, y, x = trimmed(label)
        height, width = mask.shape
        values = painted[:, y : y + height, x : x + width].astype(np.float64)
        best = NearestFire("", float("nan"))
        for fire in self._fires:
            for turn in range(8):
                bands = centred(turned(fire.bands, turn), height, width)
                both = mask & centred(turned(fire.mask, turn), height, width)
                union = int(fire.mask.sum()) + int(mask.sum()) - int(both.sum())
                if both.sum() < LEAST_OVERLAP * union:
                    continue
                difference = (values - bands)[:, both] / self._spread[:, None]
                distance = float(np.sqrt((difference**2).mean()))
                if not distance >= best.distance:
                    best = NearestFire(fire.patch_id, distance)
        return best


def centred(array: npt.NDArray[np.generic], height: int, width: int) -> npt.NDArray[np.generic]:
    """Return the last two axes cut or zero-padded around their centre to (height, width)."""
    for axis, wanted in ((-2, height), (-1, width)):
        size = array.shape[axis]
        start = max(0, (size - wanted) // 2)
        array = np.take(array, range(start, min(size, start + wanted)), axis=axis)
        missing = wanted - array.shape[axis]
        padding = [(0, 0)] * array.ndim
        padding[axis] = (missing // 2, missing - missing // 2)
        array = np.pad(array, padding)
    return array


def real_fire(part: PatchPart, patch_id: str, height: int, width: int) -> npt.NDArray[np.uint16]:
    """Return a patch of the train part around its fire, uint16 (C, height, width), to be shown beside a painted one."""
    patch = part.read(patch_id)
    mask, y, x = trimmed(patch.label)
    size = patch.label.shape[0]
    top = int(np.clip(y + mask.shape[0] // 2 - height // 2, 0, size - height))
    left = int(np.clip(x + mask.shape[1] // 2 - width // 2, 0, size - width))
    return patch.bands[:, top : top + height, left : left + width]
