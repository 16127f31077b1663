"""From 30 m pixels to the resolution that the model works at, and back by area averaging."""

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn.functional import interpolate


def enlarge(values: torch.Tensor, factor: int) -> torch.Tensor:
    """Enlarge smoothly, such that `area_mean` gives the original back.

    Bilinear interpolation alone flattens small fires: a single hot pixel's block keeps little more than 9 / 16 of
    its excess. So what the mean of each block of ``factor`` x ``factor`` lacks is added to the block.

    Args:
        values: floating (N, C, h, w).
        factor: whole number from 1; 1 returns the values.

    Returns:
        (N, C, h * factor, w * factor).
    """
    if factor == 1:
        return values
    smooth = interpolate(values, scale_factor=factor, mode="bilinear", align_corners=False)
    return smooth + interpolate(values - area_mean(smooth, factor), scale_factor=factor, mode="nearest")


def area_mean(values: torch.Tensor, factor: int) -> torch.Tensor:
    """Return the means (N, C, H / factor, W / factor) of blocks of values (N, C, H, W).

    Raises:
        RuntimeError: if height or width isn't a multiple of the factor.
    """
    blocks = values.unflatten(3, (-1, factor)).unflatten(2, (-1, factor))
    return blocks.mean(dim=(3, 5))


def without_hidden(window: npt.NDArray[np.float32], hidden: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return a window in which each hidden pixel is as the nearest known one.

    `enlarge` blends neighbours: what is hidden, in training the very fire, would shine into the known pixels around it.

    Args:
        window: float32 (C, S, S).
        hidden: bool (S, S).
    """
    if hidden.all():
        return np.zeros_like(window)
    rows, columns = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return window[:, rows, columns]


def latent_mask(edits: torch.Tensor, factor: int = 8) -> torch.Tensor:
    """Return the share of each latent cell that is painted, float32 (N, 1, S / factor, S / factor).

    Nearest neighbour reads a single pixel of each cell: a fire that misses it is gone from the mask, and the model
    is never told to paint it. In the mean, any fire leaves something.

    Args:
        edits: bool or 0 and 1 (N, 1, S, S), at the model's resolution.
        factor: model pixels a latent cell, along a side.
    """
    return area_mean(edits.float(), factor)
