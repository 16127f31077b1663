"""The noise that crops are mixed with in training and that sampling starts from.

It is Gaussian, as the diffusion needs it, but correlated over space as the train part's events are, band by band: what
a short training fails to remove of it then looks like an event and not like speckle. Pixels of a burn scar are alike
over its whole width, those of a flame next to each other hardly. How much noise there is at which step is the
pipeline's schedule and doesn't belong here.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter

from firefusion_assets.engines.native.contrast import Contrast, fill_in
from firefusion_assets.engines.native.crops import Crops

_BLUR: Final = 1.5
"""px; standard deviation of the Gaussian that the smooth part is blurred with."""
_NEXT: Final = math.exp(-1 / (4 * _BLUR**2))
"""Correlation of the smooth part between neighbours."""
_FAR: Final = 6
"""px from which the smooth part is no longer correlated."""
_LEAST_WHITE: Final = 0.05
"""Least share of white noise, so that no pixel follows from its neighbours."""
_FEWEST: Final = 200
"""Pairs of label pixels below which a correlation isn't measured."""

Array = npt.NDArray[np.float32]


class NoiseMix(NamedTuple):
    """Shares of the noise's variance in each band (C,); what is left is white.

    Attributes:
        smooth: of what is blurred.
        even: of what is the same over a whole patch.
    """

    smooth: tuple[float, ...]
    even: tuple[float, ...]

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], level: Array) -> Array:
        """Draw noise (..., C, S, S) of mean 0 and variance 1.

        Args:
            rng: of the draw.
            shape: of the noise.
            level: standard normal (..., C, 1, 1), the even part.
        """
        white, smooth = rng.standard_normal((2, *shape), np.float32)
        blur = (0,) * (len(shape) - 2) + (_BLUR, _BLUR)
        # Wrapped, so that edges vary as much as the middle; blurred white noise has the variance 1 / (4 pi blur^2).
        smooth = gaussian_filter(smooth, blur, mode="wrap") * (2 * math.sqrt(math.pi) * _BLUR)
        shares = np.array([1 - np.add(self.smooth, self.even), self.smooth, self.even], np.float32)
        factors = np.sqrt(np.maximum(shares, 0))[..., None, None]
        noise: Array = factors[0] * white + factors[1] * smooth + factors[2] * level
        return noise

    def shaped(self, noise: Array, relief: Array, strength: float) -> Array:
        """Return noise (N, C, S, S) with a relief of mean 0 and variance 1 in place of part of what is not even.

        Args:
            noise: of `draw`.
            relief: (N, C, S, S).
            strength: of what is left of the noise, below 1.
        """
        even = noise.mean(axis=(2, 3), keepdims=True)
        rough = np.sqrt(1 - np.array(self.even, np.float32))[:, None, None] * relief
        shaped: Array = even + strength * (noise - even) + math.sqrt(1 - strength**2) * rough
        return shaped


def fit_noise(batches: Iterable[Crops], contrast: Contrast) -> NoiseMix:
    """Measure how whitened label pixels of crops are correlated: next to each other, and 6 px apart and more."""
    products, pairs = 0.0, np.zeros(3)
    for crops in batches:
        label = (crops.label * crops.edit * crops.valid).astype(np.float64)
        whitened = contrast.whiten(crops.bands, fill_in(crops), crops.label, crops.edit)
        size = 2 * label.shape[-1]  # padded: pairs don't reach around
        lags = np.minimum(np.arange(size), size - np.arange(size))
        distance = np.hypot(lags[:, None], lags)
        rings = np.stack([distance == 0, distance == 1, distance >= _FAR])
        alike, counts = (
            irfft2(np.abs(rfft2(planes, (size, size))) ** 2, (size, size)).sum(0)
            for planes in (whitened * label, label)
        )
        products = products + np.einsum("chw,rhw->rc", alike, rings)
        pairs += np.einsum("chw,rhw->r", counts, rings)
    variance, following, far = products / np.maximum(pairs, 1)[:, None]
    scale = np.maximum(variance, 1e-6)
    even = np.clip(far / scale, 0, 1 - _LEAST_WHITE) if pairs[2] >= _FEWEST else np.zeros_like(scale)
    known = following / scale if pairs[1] >= _FEWEST else np.full_like(scale, _NEXT / 2)
    smooth = np.clip((known - even) / _NEXT, 0, 1 - _LEAST_WHITE - even)
    return NoiseMix(tuple(smooth.tolist()), tuple(even.tolist()))
