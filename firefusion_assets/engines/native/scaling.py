"""DN to the numbers that the network sees, and back."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firefusion_assets.core import seeding
from firefusion_assets.patchstore import PatchPart

_WIDTH: Final = 1.5
_PATCHES: Final = 256
"""Patches that quantiles are taken from; more change them little."""


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


def band_quantiles(train: PatchPart, seed: int, quantiles: Sequence[float]) -> npt.NDArray[np.int64]:
    """Return quantiles of each band's valid pixels, from histograms of up to 256 patches of the train part.

    Args:
        train: the patches to measure.
        seed: of the choice of patches.
        quantiles: between 0 and 1.

    Returns:
        int64 DN (quantiles, C), bands in store order: the smallest DN that this share of pixels doesn't exceed;
        0 if no pixel is valid.
    """
    n_bands = len(train.meta.bands)
    counts = np.zeros((n_bands, train.meta.dn_max + 1), np.int64)
    for i in seeding.generator(seed, "scaling").permutation(len(train))[:_PATCHES]:
        patch = train.read(train.ids[i])
        for band, dn in enumerate(patch.bands):
            counts[band] += np.bincount(dn[~patch.ignore], minlength=counts.shape[1])
    shares = counts.cumsum(axis=1) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.stack([(shares >= quantile).argmax(axis=1) for quantile in quantiles])


def _column(values: tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
