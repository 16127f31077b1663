"""The veil that smoke is: its optical depths and colours, fitted to veiled pixels of real fires."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from firefusion_assets.inpainting.beside.smoke import VISIBLE, depth_of

VEILED: Final = (*VISIBLE, "B5")
"""Bands that are veiled; those beyond pass smoke."""
_DEPTHS: Final = np.concatenate([np.arange(0, 1, 0.02), np.arange(1, 4.01, 0.05)])
"""Optical depths in B2 that are tried; denser smoke looks no different."""
_START: Final = (1.5, 1.2)
"""Exponent, and colour over the densest that is seen, from which the fit begins."""
_EXPONENTS: Final = (0.0, 4.0)
_FURTHEST: Final = 3.0
"""Standard deviations of noise from which a pixel is as wrong as can be."""

Array = npt.NDArray[np.float64]


class Veil(BaseModel):
    """A veil of smoke.

    Attributes:
        exponent: of the wavelength, to minus which the optical depth goes.
        colour: DN of smoke that nothing shines through, in every band: it is grey.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    exponent: float
    colour: float

    def over(self, dn: Array, band: str, depth: Array) -> Array:
        """Return DN (H, W) of ground seen through the veil, given its optical depth in B2."""
        opacity = 1 - np.exp(-depth_of(band, self.exponent) * depth)
        return dn * (1 - opacity) + self.colour * opacity

    def depths(self, excess: Array, ground: Array, noise: Array, names: Sequence[str]) -> Array:
        """Return the optical depth in B2 (P,) of veiled pixels; arguments are those of `fit_veil`."""
        return _fitted_depths(self.exponent, self.colour, excess, ground, noise, names)[0]


def fit_veil(excess: Array, ground: Array, noise: Array, names: Sequence[str]) -> Veil:
    """Fit exponent and colour, with each pixel's depth as they would have it, so that least is left open.

    A colour for each band would leave the exponent open: of thin smoke the product of both is known, neither alone.

    Args:
        excess: DN (B, P) of veiled pixels above their ground.
        ground: DN (B, P) of the ground below.
        noise: DN (B,).
        names: of the bands.
    """
    from scipy.optimize import minimize

    densest = float(np.quantile((ground + excess)[names.index("B2")], 0.98))

    def veil_of(values: Array) -> Veil:
        return Veil(exponent=float(np.clip(values[0], *_EXPONENTS)), colour=max(densest * float(values[1]), 1.0))

    def left_open(values: Array) -> float:
        veil = veil_of(values)
        return _fitted_depths(veil.exponent, veil.colour, excess, ground, noise, names)[1]

    options = {"xatol": 0.005, "fatol": 0.1, "maxfev": 200}
    return veil_of(minimize(left_open, np.array(_START), method="Nelder-Mead", options=options).x)


def _fitted_depths(
    exponent: float, colour: float, excess: Array, ground: Array, noise: Array, names: Sequence[str]
) -> tuple[Array, float]:
    """Return each pixel's optical depth in B2 (P,) that leaves least of its excess open, and what is left of all."""
    scattering = np.array([depth_of(band, exponent) for band in names])
    contrast, seen = (colour - ground) / noise[:, None], excess / noise[:, None]
    left, depths = np.full(excess.shape[1], np.inf), np.zeros(excess.shape[1])
    for depth in _DEPTHS:
        off = seen - (1 - np.exp(-scattering * depth))[:, None] * contrast
        cost = np.minimum(off * off, _FURTHEST**2).sum(0)
        better = cost < left
        left[better], depths[better] = cost[better], depth
    return depths, float(left.sum())
