"""From 30 m pixels to the resolution that the model works at, and back by area averaging."""

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn.functional import interpolate, max_pool2d


def enlarge(values: torch.Tensor, factor: int) -> torch.Tensor:
    """Enlarge smoothly and within -1..1, such that `area_mean` gives the original back.

    Bilinear interpolation alone flattens small fires: a single hot pixel's block keeps little more than 9 / 16 of
    its excess. So each block of ``factor`` x ``factor`` is moved to its pixel's value. Where it then leaves -1..1, all
    that differs from that value is made smaller until it fits: cutting it off would darken saturated fire.

    Args:
        values: floating (N, C, h, w), within -1..1.
        factor: whole number from 1; 1 returns the values.

    Returns:
        (N, C, h * factor, w * factor).
    """
    if factor == 1:
        return values
    smooth = interpolate(values, scale_factor=factor, mode="bilinear", align_corners=False)
    value, mean = (interpolate(low, scale_factor=factor, mode="nearest") for low in (values, area_mean(smooth, factor)))
    difference = smooth - mean
    room = torch.where(difference > 0, 1 - value, 1 + value)
    fitting = torch.where(difference == 0, 1, room / difference.abs()).clamp(max=1)
    least = interpolate(-max_pool2d(-fitting, factor), scale_factor=factor, mode="nearest")
    # What the clamp takes off is rounding.
    return (value + least * difference).clamp(-1, 1)


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
