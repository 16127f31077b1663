"""Smoke: where a patch is veiled, what veils it, and veiling other ground likewise.

A veil of optical depth t lets exp(-k t) of the ground's light through in a band and adds smoke's own colour S for the
rest: DN' = DN exp(-k t) + S (1 - exp(-k t)). The shortwave infrared passes it, so that B5, B6 and B7 tell what the
visible bands would show without it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter
from scipy.ndimage import label as numbered

from firefusion_assets.landsat.bands import BAND_CENTRES

VISIBLE: Final = ("B1", "B2", "B3", "B4")
"""Bands that show smoke."""
_PASSING: Final = ("B5", "B6", "B7")
"""Bands that see the ground through it."""
_ANGSTROM: Final = 2.0
"""Exponent of the wavelength by which smoke is looked for; what was found is fitted with its own."""
_BRIGHT: Final = 20_000.0
"""DN of dense smoke when it is looked for: reflectance' 0.3."""
_STANDS_OUT: Final = 3.0
"""Standard deviations of clear ground from which a veil is seen."""
_BESIDE: Final = 3
"""px around a label where fire's own heat changes the infrared: nothing is read there."""
_REACH: Final = 6
"""px around a label within which its smoke begins."""
_FEWEST: Final = 100
"""Pixels of ground without which nothing is told."""
_NOISE: Final = 10.0
"""DN that bands scatter at least."""

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


class Haze(NamedTuple):
    """How veiled a patch is.

    Attributes:
        strength: of the veil, (H, W); about its opacity in the blue.
        pieces: int (H, W), numbers of the connected areas that are veiled; 0 elsewhere.
        excess: DN of the visible bands above what the ground would show, (B, H, W).
        ground: DN that it would show.
        noise: standard deviation of the excess on clear ground, DN (B,).
    """

    strength: Array
    pieces: npt.NDArray[np.int32]
    excess: Array
    ground: Array
    noise: Array

    def beside(self, label: Mask) -> Mask:
        """Return the veiled areas that begin at a fire, bool (H, W)."""
        near = self.pieces[distance_transform_edt(~label) <= _REACH]
        return np.isin(self.pieces, np.unique(near[near > 0]))

    def amount(self, label: Mask) -> float:
        """Return how much of a veil begins at a fire."""
        return float(self.strength[self.beside(label)].sum())


def haze_of(bands: Mapping[str, npt.NDArray[np.uint16]], valid: Mask, label: Mask) -> Haze | None:
    """Tell where a patch is veiled; None where too little ground is left to tell.

    What the visible bands would show is a quadratic function of log DN in the infrared, fitted on the patch's own
    clear ground. The excess over it is weighed by a matched filter: by smoke's colours against the covariance of what
    the function leaves open. Clouds, bright in the shortwave infrared too, are left out.

    Args:
        bands: uint16 DN (H, W) by name.
        valid: bool (H, W), pixels with data.
        label: bool (H, W), where fire burns.
    """
    known = valid & (distance_transform_edt(~label) > _BESIDE) if label.any() else valid
    if known.sum() < _FEWEST:
        return None
    names = [band for band in VISIBLE if band in bands]
    visible = np.stack([bands[band] for band in names]).astype(np.float64)
    terms = _quadratic([np.log(np.maximum(bands[band], 1).astype(np.float64)) for band in _PASSING])
    scattering, clear = np.array([depth_of(band, _ANGSTROM) for band in names]), known
    for _ in range(8):
        factors = np.linalg.lstsq(terms[clear], visible[:, clear].T, rcond=None)[0]
        ground = np.moveaxis(terms @ factors, -1, 0)
        excess = visible - ground
        covariance = np.atleast_2d(np.cov(excess[:, clear])) + _NOISE**2 * np.eye(len(names))
        colours = scattering * (_BRIGHT - np.median(visible[:, clear], axis=1))
        weights = np.linalg.solve(covariance, colours)
        veil = np.tensordot(weights / (colours @ weights), excess, 1)
        far = np.einsum("ihw,ihw->hw", excess, np.tensordot(np.linalg.inv(covariance), excess, 1))
        usual = known & (far <= np.quantile(far[known], 0.9))
        middle, spread = _robust(veil[clear])
        usual &= veil < middle + 2 * spread
        if usual.sum() < _FEWEST:
            break
        clear = usual
    veil = gaussian_filter(veil, 1.0)
    middle, spread = _robust(veil[clear])
    seen = known & (veil > middle + _STANDS_OUT * spread)
    shortwave = bands["B6"].astype(np.float64)
    usual_shortwave, its_spread = _robust(shortwave[clear])
    seen &= ~binary_dilation(seen & (shortwave > usual_shortwave + 3 * its_spread), iterations=2)
    noise = np.array([max(_robust(band[clear])[1], _NOISE) for band in excess])
    excess = excess - np.median(excess[:, clear], axis=1)[:, None, None]
    return Haze(veil - middle, numbered(seen, np.ones((3, 3)))[0], excess, ground, noise)


def _quadratic(values: Sequence[Array]) -> Array:
    products = [one * other for i, one in enumerate(values) for other in values[i:]]
    return np.stack([np.ones_like(values[0]), *values, *products], axis=-1)


def _robust(values: Array) -> tuple[float, float]:
    """Return median and, from the median absolute deviation, standard deviation."""
    middle = float(np.median(values))
    return middle, max(1.4826 * float(np.median(np.abs(values - middle))), 1e-6)


def depth_of(band: str, exponent: float) -> float:
    """Return smoke's optical depth in a band over that in B2: a power of the wavelength (Angstrom 1929)."""
    return float((BAND_CENTRES[band] / BAND_CENTRES["B2"]) ** -exponent)
