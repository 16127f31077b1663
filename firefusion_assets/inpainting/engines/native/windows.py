"""Where the model's window goes on a patch, when an edit mask is larger than the window or scattered.

Only geometry belongs here.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects
from scipy.ndimage import label as connected_components

_CONTEXT: Final = 4
"""px of known background that a window should see around what it paints."""

Window = tuple[slice, slice]


def next_window(remaining: npt.NDArray[np.bool_], size: int) -> Window:
    """Return the window to paint next: rows and columns, `size` px each, inside the patch.

    It holds the first remaining pixel. Along each axis it is centred on that pixel's connected region where
    the region fits with some context, else it starts a little before the pixel; the rest is left to later
    windows, which see what this one painted.

    Args:
        remaining: bool (H, W), what is still to be painted; not empty, H and W at least `size`.
        size: height and width of the window in px.
    """
    regions, _ = connected_components(remaining, np.ones((3, 3), bool))
    first = np.unravel_index(remaining.argmax(), remaining.shape)
    box = find_objects(regions)[regions[first] - 1]
    starts = []
    for pixel, extent, length in zip(first, box, remaining.shape, strict=True):
        fits = extent.stop - extent.start + 2 * _CONTEXT <= size
        start = (extent.start + extent.stop - size) // 2 if fits else int(pixel) - _CONTEXT
        starts.append(min(max(start, 0), length - size))
    top, left = starts
    return slice(top, top + size), slice(left, left + size)
