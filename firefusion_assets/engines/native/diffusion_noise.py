"""The noise that crops are mixed with in training and that sampling starts from.

It is Gaussian, as the diffusion needs it, but correlated over space, as fires are: what a short training fails
to remove of it then looks like fire and not like speckle. Between neighbouring label pixels of real fires, most
whitened bands are correlated by 0.6 to 0.95 (B7 by 0.2, cirrus by 0.06), this noise by 0.45. How much noise there
is at which step is the pipeline's schedule and doesn't belong here.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

_BLUR: Final = 1.5
"""px; standard deviation of the Gaussian that the smooth part is blurred with."""
_SMOOTH_SHARE: Final = 0.5
"""Share of the smooth part in the variance."""


def draw_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Draw noise (..., S, S) of mean 0 and variance 1, correlated over the last two axes only."""
    white, smooth = rng.standard_normal((2, *shape), np.float32)
    blur = (0,) * (len(shape) - 2) + (_BLUR, _BLUR)
    # Wrapped, so that edges vary as much as the middle; blurred white noise has the variance 1 / (4 pi blur^2).
    smooth = gaussian_filter(smooth, blur, mode="wrap") * (2 * math.sqrt(math.pi) * _BLUR)
    noise: npt.NDArray[np.float32] = math.sqrt(1 - _SMOOTH_SHARE) * white + math.sqrt(_SMOOTH_SHARE) * smooth
    return noise
