"""Growing masks by a distance."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

Mask = npt.NDArray[np.bool_]


def dilated(mask: Mask, px: int) -> Mask:
    """Return a mask, bool (H, W), with everything within `px` pixels (Euclidean) of it."""
    if not mask.any():
        return mask.copy()
    near: Mask = distance_transform_edt(~mask) <= px
    return near
