"""The eight orientations of a square patch: on the ground no direction is special."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

ORIENTATIONS: Final = 8


def turned(array: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Return an array (..., H, W) in one of the eight orientations; 0 is the array itself. A view, not a copy."""
    quarter = np.rot90(array, turn % 4, axes=(-2, -1))
    return quarter if turn < 4 else quarter[..., ::-1]
