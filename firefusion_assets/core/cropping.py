"""Cutting masks to what they hold."""

import numpy as np
import numpy.typing as npt


def trimmed(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int, int]:
    """Return the part of a non-empty mask within its bounding box, and the box's first row and column."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y, x = int(rows[0]), int(columns[0])
    return mask[y : rows[-1] + 1, x : columns[-1] + 1], y, x
