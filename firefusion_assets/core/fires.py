"""What one fire of a mask is: a connected component. Everything that tells fires apart asks here."""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, generate_binary_structure, label

SIZES: Final = {"1_4": (1, 4), "5_19": (5, 19), "20_99": (20, 99), "100": (100, np.inf)}
"""Classes of fires by their pixels, the first and the last number included."""

LARGE: Final = 20
"""px from which shares of a fire's pixels, and fires themselves, are compared: of smaller ones chance decides."""


def numbered_fires(
    mask: npt.NDArray[np.bool_], *, connectivity: Literal[4, 8] = 8, joined_within: int = 0
) -> npt.NDArray[np.int32]:
    """Number the fires of a mask.

    Args:
        mask: bool (H, W), fire pixels.
        connectivity: neighbours of a pixel that belong to the same fire: 4 share an edge with it, 8 a corner too.
        joined_within: px (an even number) of free ground between fragments up to which they are one fire.

    Returns:
        int32 (H, W): 0 off the mask, on it the number of the pixel's fire, from 1 in the order of their first pixels.
    """
    widened = mask
    if joined_within:
        widened = binary_dilation(mask, np.ones((3, 3), np.bool_), iterations=joined_within // 2)
    components, _ = label(widened, generate_binary_structure(2, 1 if connectivity == 4 else 2))
    numbers: npt.NDArray[np.int32] = np.where(mask, components, 0)
    return numbers
