"""Donors of engine `copy-paste`: each is one fire with a ring of ground around it, in all bands."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, find_objects

from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.patchstore import Patch

_RING: Final = 6
"""px of ground kept around a donor."""
_JOIN: Final = 4
"""px between fragments up to which they are one fire."""

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice]


class Donor(NamedTuple):
    """A fire with the ground around it.

    Attributes:
        bands: uint16 DN (C, h, w).
        fire: bool (h, w), the fire's pixels.
        ground: bool (h, w), valid pixels without fire.
    """

    bands: npt.NDArray[np.uint16]
    fire: Mask
    ground: Mask


def donors(patch: Patch) -> Iterator[Donor]:
    """Cut each fire of a patch out, with its ring; a fire without any ground around it is left out."""
    valid = ~patch.ignore
    for fire in fires(patch.label & valid):
        box = bounding_box(binary_dilation(fire, np.ones((3, 3), bool), iterations=_RING))
        ground = (valid & ~patch.label)[box]
        if ground.any():
            yield Donor(patch.bands[:, *box], fire[box], ground)


def fires(mask: Mask) -> Iterator[Mask]:
    """Yield each fire of a mask (H, W) as a mask of its own; fragments of one front are one fire."""
    numbers = numbered_fires(mask, joined_within=_JOIN)
    for number in range(1, numbers.max(initial=0) + 1):
        yield numbers == number


def bounding_box(mask: Mask) -> Box:
    """Return the bounding box of a mask that isn't empty."""
    box: Box = find_objects(mask.astype(np.uint8))[0]
    return box
