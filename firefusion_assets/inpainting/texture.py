"""How far painted events are from real ones in colour and texture, without any network: a diagnosis.

No predictor of what paint is worth in training: copies of real events score best.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firefusion_assets.core.seeding import generator
from firefusion_assets.inpainting.log_dn import log_dn
from firefusion_assets.inpainting.masks import Mask

_LEAST: Final = 9
"""px of an event below which it has no texture."""
_FEWEST: Final = 5
"""Events of each kind without which nothing is compared."""
_DRAWS: Final = 1000

Bands = npt.NDArray[np.uint16]
Array = npt.NDArray[np.float64]


class TextureDistance(NamedTuple):
    """A kernel distance and its interval of 95 % from drawing the painted and the real events anew."""

    distance: float
    low: float
    high: float


def texture(bands: Bands, label: Mask) -> Array | None:
    """Return what an event looks like: in log DN, each band's mean over the ground, spread, and likeness of neighbours.

    Args:
        bands: uint16 DN (C, H, W).
        label: bool (H, W), the event.

    Returns:
        float (3 C,); None for an event of fewer than 9 px, or without two of them side by side, or without ground.
    """
    logs = log_dn(bands)
    ground = ~label & (bands > 0).all(0)
    beside = label[:, 1:] & label[:, :-1]
    if label.sum() < _LEAST or not ground.any() or not beside.any():
        return None
    spread = logs[:, label].std(1)
    steps = np.sqrt(((logs[:, :, 1:] - logs[:, :, :-1])[:, beside] ** 2).mean(1))
    means = logs[:, label].mean(1) - np.median(logs[:, ground], axis=1)
    return np.concatenate([means, spread, steps / np.maximum(spread, 1e-3)])


def texture_distance(
    painted: Iterable[tuple[Bands, Mask]], real: Iterable[tuple[Bands, Mask]]
) -> TextureDistance | None:
    """Return the kernel distance (KID) of the textures of painted and of real events.

    The unbiased squared maximum mean discrepancy with the kernel (x y / d + 1)^3 (Binkowski et al. 2018, arXiv
    1801.01401) of textures in standard deviations of the real ones; about 0 for events of one kind.

    Args:
        painted: bands and label of each patch.
        real: the same of real events.

    Returns:
        None where fewer than five of either kind are large enough.
    """
    features = [
        np.array([one for bands, label in events if (one := texture(bands, label)) is not None])
        for events in (painted, real)
    ]
    if min(map(len, features)) < _FEWEST:
        return None
    middle, scale = features[1].mean(0), np.maximum(features[1].std(0), 1e-3)
    x, y = ((one - middle) / scale for one in features)
    within, of_real, across = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    rng = generator("texture")
    draws = [
        _discrepancy(within, of_real, across, *(rng.integers(len(one), size=len(one)) for one in (x, y)))
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    distance = _discrepancy(within, of_real, across, np.arange(len(x)), np.arange(len(y)))
    return TextureDistance(distance, float(low), float(high))


def _discrepancy(
    painted: Array, real: Array, across: Array, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> float:
    """Return the squared discrepancy of some events; pairs of one and the same don't count as alike."""
    within = 0.0
    for kernel, chosen in ((painted, rows), (real, columns)):
        others = chosen[:, None] != chosen
        within += float(kernel[np.ix_(chosen, chosen)][others].mean()) if others.any() else 0.0
    return within - 2 * float(across[np.ix_(rows, columns)].mean())
