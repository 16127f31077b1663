"""Real plumes: how dense, how patchy and how large one is."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import distance_transform_edt

from firefusion_assets.inpainting.beside.places import extent, falloff
from firefusion_assets.inpainting.beside.smoke import Haze
from firefusion_assets.inpainting.beside.veil import Veil

_DENSE: Final = 0.2
"""Falloff from which a plume's density is measured: at its edge little is left to see."""
_UNEVEN: Final = 2.0
"""Largest contrast of a plume."""
_GRAIN: Final = 1.4
"""Cell of fractal noise over the lag at which it correlates by a half."""
_LAGS: Final = 32

Mask = npt.NDArray[np.bool_]


class Plume(BaseModel):
    """One real plume.

    Attributes:
        density: optical depth in B2 at its fire, from which it falls as `falloff` does.
        contrast: standard deviation of the density from place to place, over the density.
        grain: px; cell of the noise that varies likewise.
        reach: px from the head of the fire down the wind within which 90 % of it lies.
        breadth: mean width over the reach.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    density: float
    contrast: float
    grain: float
    reach: float
    breadth: float


def measure_plume(label: Mask, haze: Haze, mask: Mask, veil: Veil, names: Sequence[str]) -> Plume:
    """Measure a plume.

    Args:
        label: bool (H, W), the fire that it comes from.
        haze: of the patch.
        mask: bool (H, W), where it is; at least one pixel.
        veil: what it is made of.
        names: of the bands that `haze` tells of.
    """
    depth = np.zeros(mask.shape)
    depth[mask] = veil.depths(haze.excess[:, mask], haze.ground[:, mask], haze.noise, names)
    # The ring without reading around the label belongs to the plume that begins there.
    distance = distance_transform_edt(~label)
    fall = falloff(mask | (distance <= distance[mask].min()), label)
    dense = mask & (fall >= min(_DENSE, float(np.median(fall[mask]))))
    relative = np.where(dense, depth / np.maximum(fall, 1e-3), 0.0)
    density = max(float(relative[dense].mean()), 0.05)
    reach, width = extent(label, mask, depth)
    return Plume(
        density=density,
        contrast=float(np.clip(relative[dense].std() / density, 0, _UNEVEN)),
        grain=_grain(relative - density, dense),
        reach=reach,
        breadth=width / reach,
    )


def _grain(values: npt.NDArray[np.float64], where: Mask) -> float:
    """Return the cell in px of fractal noise that is correlated as values (H, W) are."""
    kept = np.where(where, values, 0.0)
    variance = max(float((kept[where] ** 2).mean()), 1e-9)
    for lag in range(1, _LAGS):
        products, pairs = 0.0, 0
        for one, other, here, there in (
            (kept[lag:], kept[:-lag], where[lag:], where[:-lag]),
            (kept[:, lag:], kept[:, :-lag], where[:, lag:], where[:, :-lag]),
        ):
            products += float((one * other).sum())
            pairs += int((here & there).sum())
        if not pairs or products / pairs < variance / 2:
            break
    return max(_GRAIN * lag, 3.0)
