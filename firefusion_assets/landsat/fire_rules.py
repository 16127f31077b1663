"""The rules of the three published active fire detectors, each on one tile of reflectance.

`detectors` handles bands, tiles and votes. Each function returns bool (H, W).
A ratio is a division, also where the divisor is negative (then no threshold is reached) or 0.
"""

from typing import Final, Literal

import numpy as np

from firefusion_assets.landsat.reflectance import Reflectance
from firefusion_assets.landsat.window_statistics import (
    LARGEST,
    Integers,
    Mask,
    Windows,
    integral_image,
    with_neighbours,
)

MurphyMode = Literal["paper", "published"]

REACH: Final = LARGEST // 2 + 2
"""Pixels this far apart can matter to each other: half a window, and Kumar and Roy's two 3 x 3 neighbourhoods."""


def schroeder(reflectance: Reflectance) -> Mask:
    """Schroeder et al. 2016, Remote Sensing of Environment 185, 210-220; equation numbers below are its."""
    r1, r2, r3, r4, r5, r6, r7 = reflectance.uncorrected(1, 2, 3, 4, 5, 6, 7)
    ratio, difference = reflectance.ratio75, r7 - r5
    fire = (ratio > 2.5) & (difference > 0.3) & (r7 > 0.5)  # (1)
    fire |= (r6 > 0.8) & (r1 < 0.2) & ((r5 > 0.4) | (r7 < 0.1))  # (2) saturated, or folded to low values
    water = (r4 > r5) & (r5 > r6) & (r6 > r7) & (r1 - r7 < 0.2)  # (7)
    water &= (r3 > r2) | ((r1 > r2) & (r2 > r3) & (r3 > r4))  # (8), (9)
    left_out = fire | water
    y, x = np.nonzero((ratio > 1.8) & (difference > 0.17) & ~left_out)  # (3)
    with np.errstate(divide="ignore"):
        hot = r7[y, x] / r6[y, x] > 1.6  # (6)
    y, x = y[hot], x[hot]
    if len(y):
        windows = Windows.around(y, x, LARGEST // 2, fire.shape)
        usable = (r7 > 0) & ~left_out
        count = windows.sums(integral_image(usable))
        fire[y, x] = _stand_out(reflectance, 1.0, usable, count, y, x, windows)  # (4), (5)
    return fire & ~water


def murphy(reflectance: Reflectance, saturated: Mask, mode: MurphyMode) -> Mask:
    """Murphy et al. 2016 (HOTMAP), Remote Sensing of Environment 178, 31-41."""
    r5, r6, r7 = reflectance.corrected(5, 6, 7)
    with np.errstate(divide="ignore", invalid="ignore"):
        fire: Mask = (r7 >= 0.15) & (r7 / r6 >= 1.4) & (r7 / r5 >= 1.4)
        bright = (r6 >= 0.5) & ((r6 / r5 >= 2.0) | (mode == "published"))
    return fire | (with_neighbours(fire) & (bright | saturated))


def kumar_roy(reflectance: Reflectance) -> Mask:
    """Kumar and Roy 2018 (GOLI), International Journal of Digital Earth 11(2), 154-178; with its equation numbers."""
    r4, r6, r7 = reflectance.corrected(4, 6, 7)
    valid = ~with_neighbours(~(r7 > 0))  # nothing beyond the border is invalid
    fire = (r4 <= 0.53 * r7 - 0.214) & valid  # (12)
    if fire.any():
        fire |= with_neighbours(fire) & (r4 <= 0.35 * r6 - 0.044) & valid  # (13)
    b2, b3, b4, b5 = reflectance.uncorrected(2, 3, 4, 5)  # the sun doesn't change their order
    water = (b2 > b3) & (b3 > b4) & (b4 > b5)  # (16)
    candidate = ((r4 <= 0.53 * r7 - 0.125) | (r6 <= 1.08 * r7 - 0.048)) & valid  # (14), (15)
    y, x = np.nonzero(candidate & ~fire & ~water)
    if len(y):
        usable = valid & ~fire & ~candidate & ~water
        available = integral_image(usable)
        half = _smallest_half_widths(available, y, x, fire.shape)
        y, x = y[half > 0], x[half > 0]
        windows = Windows.around(y, x, half[half > 0], fire.shape)
        count = windows.sums(available)
        fire[y, x] = _stand_out(reflectance, reflectance.sine, usable, count, y, x, windows)  # (8), (9)
    return fire & ~water


def _smallest_half_widths(available: Integers, y: Integers, x: Integers, shape: tuple[int, int]) -> Integers:
    """Return half the width of the smallest window of 5, 7, ..., 61 px of which a quarter is available; 0: none."""
    half, growing = np.zeros(len(y), np.int64), np.arange(len(y))
    for size in range(2, LARGEST // 2 + 1):
        windows = Windows.around(y[growing], x[growing], size, shape)
        enough = 4 * windows.sums(available) >= windows.area
        half[growing[enough]] = size
        growing = growing[~enough]
        if not len(growing):
            break
    return half


def _stand_out(
    reflectance: Reflectance,
    sine: float,
    usable: Mask,
    count: Integers,
    y: Integers,
    x: Integers,
    windows: Windows,
) -> Mask:
    """Return bool (N,): whether candidates (y, x) are hotter than the `count` usable pixels of their windows.

    That is r7 > mean + max(3 std, 0.08), with reflectance divided by `sine`, and r7 / r5 > mean + max(3 std, 0.8).
    """
    mean, std = reflectance.summable_r7.statistics(usable, count, windows)
    (r7,) = reflectance.uncorrected(7)
    hot = r7[y, x] / sine > mean / sine + np.maximum(3 * std / sine, 0.08)
    if hot.any():
        mean, std = reflectance.summable_ratio75.statistics(usable, count[hot], windows[hot])
        hot[hot] = reflectance.ratio75[y[hot], x[hot]] > mean + np.maximum(3 * std, 0.8)
    return hot
