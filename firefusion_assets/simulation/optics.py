"""What the instrument does to light: it blurs, folds where it is blinded, and sees heat through the air."""

from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from firefusion_assets.landsat.bands import REFLECTANCE_ADD, REFLECTANCE_MULT, THERMAL_CONSTANTS
from firefusion_assets.simulation.textures import Field

_BLUR: Final = 0.55
"""Sigma in px of the optics in the reflective bands: a point spreads over about one pixel."""
_THERMAL_BLUR: Final = 1.4
"""Sigma in px of the thermal bands, which are measured at 100 m."""
_FOLD: Final = 2.2
"""Reflectance' in B7 above which the electronics may fold."""
AIR: Final = {"B10": (0.88, 286.0), "B11": (0.80, 285.0)}
"""Transmission of the air in the thermal bands, and the temperature in K at which it radiates itself."""


def blurred(reflectance: Field) -> Field:
    """Return reflectance' (..., H, W) as the optics show it."""
    spread: Field = gaussian_filter(reflectance, (0,) * (reflectance.ndim - 2) + (_BLUR, _BLUR))
    return spread


def blurred_heat(radiance: Field) -> Field:
    """Return radiance (H, W) of a thermal band as its coarser pixels show it."""
    spread: Field = gaussian_filter(radiance, _THERMAL_BLUR)
    return spread


def thermal_radiance(band: str, temperature: Field | float) -> Field:
    """Return radiance in W/(m2 sr um) of a temperature in K: the inverse of T = K2 / ln(K1 / L + 1)."""
    k1, k2 = THERMAL_CONSTANTS[band]
    radiance: Field = k1 / np.expm1(k2 / np.asarray(temperature))
    return radiance


def fold(b7: Field, draws: Field) -> None:
    """Let a few of the hottest DN of B7 fold to low values, as the sensor's electronics do; draws are in 0..1."""
    folds = (b7 > (_FOLD - REFLECTANCE_ADD) / REFLECTANCE_MULT) & (draws < 0.3)
    b7[folds] = 1000 + 20000 * draws[folds]
