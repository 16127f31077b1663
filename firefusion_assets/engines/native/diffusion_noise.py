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

from firefusion_assets.engines.native.contrast import Contrast, Matrix, fill_in
from firefusion_assets.engines.native.crops import Crops

_BLUR: Final = 1.5
"""px; standard deviation of the Gaussian that the smooth part is blurred with."""
_NEXT: Final = math.exp(-1 / (4 * _BLUR**2))
"""Correlation of the smooth part between neighbours."""
_FAR: Final = 6
"""px from which the smooth part is no longer correlated."""
_LEAST_WHITE: Final = 0.05
"""Least share of white noise, so that no pixel follows from its neighbours."""
_RIDGE: Final = 0.01
"""Added to each band's variance of 1, so that bands that are nearly equal do no harm."""
_FEWEST: Final = 200
"""Pairs of label pixels below which a correlation isn't measured."""

Array = npt.NDArray[np.float32]


class NoiseMix(NamedTuple):
    """How noise is correlated over space: the shares of its variance, in each of C mixtures of the bands.

    Attributes:
        mixtures: (C, C), orthogonal: a column for each mixture, of which no two are correlated, not even between
            neighbours. A bright pixel of a fire has neighbours bright in the visible bands, but not in B7; band by
            band the noise would make both alike.
        smooth: (C,), the share of each mixture that is blurred.
        even: (C,), that is the same over a whole patch; what is left is white.
    """

    mixtures: Matrix
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
        mixed = factors[0] * white + factors[1] * smooth + factors[2] * level
        noise: Array = (np.array(self.mixtures, np.float32) @ mixed.reshape(*shape[:-2], -1)).reshape(shape)
        return noise

    def shaped(self, noise: Array, relief: Array, strength: float) -> Array:
        """Return noise (N, C, S, S) with a relief of mean 0 and variance 1 in place of part of what is not even.

        Args:
            noise: of `draw`.
            relief: (N, C, S, S).
            strength: of what is left of the noise, below 1.
        """
        level = noise.mean(axis=(2, 3), keepdims=True)
        even = np.square(np.array(self.mixtures, np.float32)) @ np.array(self.even, np.float32)
        rough = np.sqrt(1 - even)[:, None, None] * relief
        shaped: Array = level + strength * (noise - level) + math.sqrt(1 - strength**2) * rough
        return shaped


def fit_noise(batches: Iterable[Crops], contrast: Contrast) -> NoiseMix:
    """Measure how label pixels of crops are correlated: next to each other, and 6 px apart and more.

    What is correlated is the difference to a mean fire on the same ground, in scaled units. Its covariance over bands
    is taken out by the symmetric root, as `Contrast` does in each zone.
    """
    products, pairs = 0.0, np.zeros(3)
    for crops in batches:
        label = (crops.label * crops.edit * crops.valid).astype(np.float64)
        difference = crops.bands - contrast.expected(crops, fill_in(crops))
        size = 2 * label.shape[-1]  # padded: pairs don't reach around
        lags = np.minimum(np.arange(size), size - np.arange(size))
        distance = np.hypot(lags[:, None], lags)
        rings = np.stack([distance == 0, distance == 1, distance >= _FAR])
        waves, mask = (rfft2(planes, (size, size)) for planes in (difference * label, label))
        alike = irfft2(np.einsum("nbhw,nchw->bchw", waves, waves.conj()), (size, size))
        counts = irfft2(np.square(np.abs(mask)).sum((0, 1)), (size, size))
        products = products + np.einsum("bchw,rhw->rbc", alike, rings)
        pairs += np.einsum("hw,rhw->r", counts, rings)
    covariances = products / np.maximum(pairs, 1)[:, None, None]
    deviations = np.sqrt(np.maximum(np.diag(covariances[0]), 1e-6))
    covariances = (covariances + covariances.swapaxes(1, 2)) / (2 * np.outer(deviations, deviations))
    values, vectors = np.linalg.eigh(covariances[0] + _RIDGE * np.eye(len(deviations)))
    whitening = (vectors / np.sqrt(values)) @ vectors.T
    following, far = whitening @ covariances[1:] @ whitening
    if pairs[1] < _FEWEST:
        following = np.eye(len(deviations)) * _NEXT / 2
    known, mixtures = np.linalg.eigh(following)
    apart = np.einsum("bm,bc,cm->m", mixtures, far, mixtures) if pairs[2] >= _FEWEST else np.zeros_like(known)
    even = np.clip(apart, 0, 1 - _LEAST_WHITE)
    smooth = np.clip((known - even) / _NEXT, 0, 1 - _LEAST_WHITE - even)
    return NoiseMix(tuple(map(tuple, mixtures.tolist())), tuple(smooth.tolist()), tuple(even.tolist()))
