"""Where a fire's smoke and scar lie: a plume down the wind, and burnt ground behind the front.

Shapes only; what they look like is `painting`'s.
"""

from math import cos, sin
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt, shift

from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.simulation.textures import Window, fractal

_HEAD: Final = 0.8
"""Quantile of a fire's pixels along the wind from which they are its head, where most smoke rises."""
_NARROWEST: Final = 2.0
"""px; half of a plume's width at its root, at least."""
_WIDTHS: Final = 3.5
"""Width of an even strip, about, over the standard deviation across it."""
_WIDEST: Final = 0.8
"""Largest mean width over the reach: wider smoke comes from more than one fire."""

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


def plume(label: Mask, wind: float, reach: float, breadth: float, seed: int) -> Mask:
    """Return where smoke of a mask's largest fire lies, bool (H, W): it widens and meanders down the wind.

    Args:
        label: bool (H, W), at least one pixel.
        wind: direction it blows to, radians from south (down the rows) towards east.
        reach: px from the head of the fire to the end of the plume.
        breadth: mean width, px.
        seed: of edges and meanders.
    """
    numbers = numbered_fires(label)
    fire = numbers == np.bincount(numbers[label]).argmax()
    down, right = np.mgrid[: label.shape[0], : label.shape[1]].astype(np.float64)
    along, across = down * cos(wind) + right * sin(wind), right * cos(wind) - down * sin(wind)
    head = fire & (along >= np.quantile(along[fire], _HEAD))
    root = along[head].mean(), across[head].mean()
    travelled, window = along - root[0], Window(0, 0, *label.shape)
    half = max(_NARROWEST, float(np.ptp(across[head])) / 2)
    widening = max(0.05, (breadth - 2 * half) / reach)
    meander = 0.1 * np.maximum(travelled, 0) * fractal(seed, window, max(reach / 2, 4.0), 3.0)
    ragged = 1 + 0.15 * fractal(seed + 100, window, 8.0)
    width = (half + widening * np.maximum(travelled, 0)) * ragged
    rounded = np.sqrt(np.clip(1 - (np.maximum(travelled, 0) / reach) ** 4, 0, None))
    inside: Mask = (
        (travelled > -2 * _NARROWEST) & (travelled < reach) & (np.abs(across - root[1] - meander) < width * rounded)
    )
    return inside


def extent(label: Mask, smoke: Mask, depth: Array) -> tuple[float, float]:
    """Return reach and mean width, px, of smoke that is there: its wind leads from the fire to where most of it is.

    Args:
        label: bool (H, W), the fire.
        smoke: bool (H, W), at least one pixel.
        depth: (H, W), how dense it is.
    """
    fire, places = np.argwhere(label), np.argwhere(smoke)
    weights = depth[smoke] + 1e-3
    down, right = np.average(places, axis=0, weights=weights) - fire.mean(axis=0)
    length = max(float(np.hypot(down, right)), 1e-6)
    down, right = down / length, right / length
    head = np.quantile(fire @ (down, right), _HEAD)
    reach = max(float(np.quantile(places @ (down, right), 0.9) - head), 2 * _NARROWEST)
    across = places @ (-right, down)
    middle = np.average(across, weights=weights)
    width = _WIDTHS * float(np.sqrt(np.average((across - middle) ** 2, weights=weights)))
    return reach, float(np.clip(width, 2 * _NARROWEST, _WIDEST * reach))


def scar(label: Mask, wind: float, depth: float, seed: int) -> Mask:
    """Return where ground behind a front is burnt, bool (H, W): what it swept, and what it encloses.

    Args:
        label: bool (H, W), what burns.
        wind: direction it blows to, radians from south towards east.
        depth: px that a fire has come, over the root of its pixels; from place to place more or less.
        seed: of the ragged edge.
    """
    numbers = numbered_fires(label)
    came = np.where(label, depth * np.sqrt(np.bincount(numbers.ravel()))[numbers], 0.0)
    farthest = int(2 * came.max())
    ragged = np.clip(1 + 0.4 * fractal(seed, Window(0, 0, *label.shape), max(farthest / 4, 4.0)), 0.3, 2)
    swept = label.copy()
    for step in range(1, farthest + 1):
        behind = shift(came, (-round(step * cos(wind)), -round(step * sin(wind))), order=0)
        swept |= behind * ragged >= step
    closed: Mask = binary_fill_holes(binary_closing(np.pad(swept, 1), np.ones((3, 3))))[1:-1, 1:-1]
    return closed


def joined(part: Mask, own: Mask) -> Mask:
    """Return a part beside a fire with what of the fire's own edit mask is nearer to it than to untouched ground.

    Args:
        part: bool (H, W), disjoint from `own`.
        own: bool (H, W), the fire's edit mask.
    """
    if not part.any():
        return part
    untouched = ~part & ~own
    nearer = distance_transform_edt(~part) < distance_transform_edt(~untouched) if untouched.any() else own
    return part | (own & nearer)


def inward(region: Mask) -> Array:
    """Return px from a region's outermost pixels, (H, W): 0 on these and outside; a patch's border is no edge."""
    if region.all():
        return np.full(region.shape, float(max(region.shape)))
    return np.maximum(distance_transform_edt(region) - 1, 0)


def falloff(region: Mask, label: Mask) -> Array:
    """Return how dense smoke is, (H, W): 1 at its fire, less with the distance, 0 on the outermost pixels."""
    inside = inward(region)
    return inside / np.maximum(inside + distance_transform_edt(~label), 1e-9)
