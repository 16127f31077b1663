"""The veil that smoke is: its optical depths and colours, fitted to veiled pixels of real fires."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from firefusion_assets.inpainting.beside.smoke import VISIBLE, depth_of
from firefusion_assets.landsat.bands import BAND_CENTRES

VEILED: Final = (*VISIBLE, "B5")
"""Bands that are veiled; those beyond pass smoke."""
_DEPTHS: Final = np.concatenate([np.arange(0, 1, 0.025), np.arange(1, 4.01, 0.05)])
"""Optical depths in B2 that are tried; denser smoke looks no different."""
_EXPONENTS: Final = np.arange(0, 4.01, 0.1)
_ROUNDS: Final = 20

Array = npt.NDArray[np.float64]


class Veil(BaseModel):
    """A veil of smoke.

    Attributes:
        exponent: of the wavelength, to minus which the optical depth goes.
        colours: DN of smoke that nothing shines through, by band.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    exponent: float
    colours: Mapping[str, float]

    def opacity(self, band: str, depth: Array) -> Array:
        """Return the share (H, W) of the ground's light that is lost, given the optical depth in B2."""
        return 1 - np.exp(-depth_of(band, self.exponent) * depth)

    def over(self, dn: Array, band: str, depth: Array) -> Array:
        """Return DN (H, W) of ground seen through the veil."""
        opacity = self.opacity(band, depth)
        return dn * (1 - opacity) + self.colours[band] * opacity

    def depths(self, excess: Array, ground: Array, noise: Array, names: Sequence[str]) -> Array:
        """Return the optical depth in B2 (P,) of veiled pixels; arguments are those of `fit_veil`."""
        opacity = np.stack([self.opacity(band, _DEPTHS) for band in names])
        colours = np.array([self.colours[band] for band in names])
        best = np.full(excess.shape[1], np.inf), np.zeros(excess.shape[1])
        for depth, share in zip(_DEPTHS, opacity.T, strict=True):
            off = (excess - share[:, None] * (colours[:, None] - ground)) / noise[:, None]
            cost = (np.minimum(np.abs(off), 3) ** 2).sum(0)
            better = cost < best[0]
            best[0][better], best[1][better] = cost[better], depth
        return best[1]


def fit_veil(excess: Array, ground: Array, noise: Array, names: Sequence[str]) -> Veil:
    """Fit exponent and colours, and each pixel's depth on the way, by turns.

    Colours lie on a line over the wavelength, in B5 as in the last of the visible bands: of thin smoke the product
    of depth and colour is known much better than either.

    Args:
        excess: DN (B, P) of veiled pixels above their ground.
        ground: DN (B, P) of the ground below.
        noise: DN (B,).
        names: of the bands.
    """
    distance = np.array([BAND_CENTRES[band] - BAND_CENTRES["B2"] for band in names])
    veil = Veil(exponent=1.5, colours=dict(zip(names, np.quantile(ground + excess, 0.98, axis=1), strict=True)))
    for _ in range(_ROUNDS):
        depths = veil.depths(excess, ground, noise, names)
        fits = []
        for exponent in _EXPONENTS:
            scattering = np.array([depth_of(band, exponent) for band in names])
            opacity = 1 - np.exp(-scattering[:, None] * depths)
            line, cost = _line(opacity, excess + opacity * ground, noise, distance)
            fits.append((cost, float(exponent), line))
        _, exponent, (middle, slope) = min(fits)
        veil = Veil(exponent=exponent, colours=dict(zip(names, (middle + slope * distance).tolist(), strict=True)))
        opacity = np.stack([veil.opacity(band, depths) for band in names])
        off = excess - opacity * (np.array([*veil.colours.values()])[:, None] - ground)
        noise = np.maximum(noise, 1.4826 * np.median(np.abs(off), axis=1))
    return veil.model_copy(update={"colours": {**veil.colours, "B5": veil.colours[names[-1]]}})


def _line(opacity: Array, seen: Array, noise: Array, distance: Array) -> tuple[tuple[float, float], float]:
    """Fit `seen` = opacity (middle + slope distance) robustly (Cauchy); return middle and slope, and the cost."""
    scale = 1 / noise[:, None]
    first, second, wanted = (
        array.ravel() for array in (opacity * scale, opacity * distance[:, None] * scale, seen * scale)
    )
    weights = np.ones_like(wanted)
    for _ in range(4):
        aa, ab, bb = (
            (weights * one * other).sum() for one, other in ((first, first), (first, second), (second, second))
        )
        ay, by = ((weights * one * wanted).sum() for one in (first, second))
        # A little ridge: of one band, or of no veil at all, there is no slope.
        middle, slope = np.linalg.solve([[aa + 1e-9, ab], [ab, bb * (1 + 1e-6) + 1e-9]], [ay, by])
        off = wanted - middle * first - slope * second
        weights = 1 / (1 + (off / 2) ** 2)
    return (float(middle), float(slope)), float(np.log1p((off / 2) ** 2).sum())
