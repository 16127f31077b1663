"""DN to the numbers that the network sees, and back."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firefusion_assets.patchstore import PatchPart
from firefusion_assets.patchstore.statistics import band_quantiles

_WIDTH: Final = 1.5


class Scaling(NamedTuple):
    """asinh((DN - median) / IQR) / 1.5 for each band: linear for the ground, logarithmic for what is hot.

    Attributes:
        median: of valid pixels, DN, for each band.
        iqr: distance between the quartiles of valid pixels, DN, for each band.
        dn_max: largest DN.
    """

    median: tuple[float, ...]
    iqr: tuple[float, ...]
    dn_max: int

    def from_dn(self, dn: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
        """Scale DN (..., C, H, W)."""
        scaled = np.arcsinh((dn.astype(np.float32) - _column(self.median)) / _column(self.iqr)) / np.float32(_WIDTH)
        return np.asarray(scaled, np.float32)

    def to_dn(self, scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return DN (..., C, H, W) between 0 and `dn_max`, not rounded."""
        lowest, highest = (self.from_dn(np.full((len(self.median), 1, 1), dn, np.uint16)) for dn in (0, self.dn_max))
        clipped = np.clip(scaled, lowest, highest)
        dn = np.sinh(clipped * np.float32(_WIDTH)) * _column(self.iqr) + _column(self.median)
        return np.asarray(dn, np.float32)


def fit_scaling(train: PatchPart, seed: int) -> Scaling:
    """Measure median and IQR of the train part's valid pixels."""
    low, median, high = band_quantiles(train, seed, (0.25, 0.5, 0.75))
    return Scaling(tuple(map(float, median)), tuple(map(float, np.maximum(high - low, 1))), train.meta.dn_max)


def _column(values: tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
