"""DN to the numbers that the network sees, and back."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firefusion_assets.patchstore import PatchPart
from firefusion_assets.patchstore.statistics import band_quantiles

_WIDTH: Final = 1.5
_RARE: Final = 0.001
"""Share of the ground's pixels that are darker than any paint, and that are brighter."""


class Scaling(NamedTuple):
    """asinh((DN - dark) / IQR) / 1.5 for each band: from the ground's brightness on nearly logarithmic.

    So what varies is a factor, as shade and burning are: around the median instead, a tenth of painted burn scars came
    out black.

    Attributes:
        dark: DN of the ground's darkest thousandth of pixels, for each band.
        iqr: distance between the quartiles of valid pixels, DN, for each band.
        lowest: DN that paint doesn't go below, for each band: `dark`, or of fires.
        highest: DN that it doesn't go above, likewise.
        dn_max: largest DN.
    """

    dark: tuple[float, ...]
    iqr: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    dn_max: int

    def from_dn(self, dn: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
        """Scale DN (..., C, H, W)."""
        scaled = np.arcsinh((dn.astype(np.float32) - _column(self.dark)) / _column(self.iqr)) / np.float32(_WIDTH)
        return np.asarray(scaled, np.float32)

    def to_dn(self, scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return DN (..., C, H, W) between `lowest` and `highest`, not rounded."""
        lowest, highest = _column(self.lowest), _column(self.highest)
        clipped = np.clip(scaled, *(self.from_dn(dn.astype(np.uint16)) for dn in (lowest, highest)))
        dn = np.sinh(clipped * np.float32(_WIDTH)) * _column(self.iqr) + _column(self.dark)
        return np.clip(dn, lowest, highest)


def fit_scaling(train: PatchPart, seed: int) -> Scaling:
    """Measure the darkest pixels, IQR and range of the train part."""
    darkest, first, third, high = band_quantiles(train, seed, (_RARE, 0.25, 0.75, 1 - _RARE))
    low = darkest
    for patch in map(train.read, train.statistics.fire):
        fire = patch.bands[:, patch.label & ~patch.ignore]
        low, high = np.minimum(low, fire.min(axis=1)), np.maximum(high, fire.max(axis=1))
    measured = (darkest, np.maximum(third - first, 1), low, high)
    dark, iqr, lowest, highest = (tuple(map(float, one)) for one in measured)
    return Scaling(dark, iqr, lowest, highest, train.meta.dn_max)


def _column(values: tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
