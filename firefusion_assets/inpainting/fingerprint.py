"""Whether paint can be told from real ground and fire by its finest structure: a small classifier, as a diagnosis.

A generator may leave traces that no eye sees: smoothness, a checkerboard of its decoder, too few different values. A
network that learns from paint may learn these instead of fire.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from firefusion_assets.core.seeding import generator
from firefusion_assets.inpainting.log_dn import log_dn
from firefusion_assets.inpainting.masks import Mask

_LEAST: Final = 9
"""Squares of 2 x 2 px in a region without which it has no structure."""
_FEWEST: Final = 8
"""Regions of each kind without which nothing is learned."""
_PARTS: Final = 5
"""Parts that groups are dealt to, each scored by what the others teach."""
_RIDGE: Final = 10.0
"""Added to the diagonal, in observations: features are many and regions few."""
_DRAWS: Final = 1000
_FINEST: Final = 1e-4
"""Log DN below which steps count as none."""

Array = npt.NDArray[np.float64]


class Region(NamedTuple):
    """Pixels of a patch, DN (C, H, W) and bool (H, W), and what they share with others: a group is never split."""

    bands: npt.NDArray[np.uint16]
    mask: Mask
    group: str


class Fingerprint(NamedTuple):
    """How well painted regions are told from real ones.

    Attributes:
        auc: chance that a painted region scores higher than a real one; 0.5 is chance.
        low: of its interval of 95 %, from drawing groups of regions anew.
        high: of that.
        painted: scores of the painted regions, float (N,): above 0 like paint, below like the real thing; missing (nan)
            where a region is too small.
        real: the same of the real ones.
    """

    auc: float
    low: float
    high: float
    painted: Array
    real: Array


def structure(region: Region) -> Array:
    """Return what a region's finest structure is like, float (3 C,); missing (nan) for fewer than 9 squares of 2 px.

    Of each band in log DN: the logarithms of the root mean squares of steps to the right, and of the checkerboard part
    of squares of 2 x 2 px, and the share of steps that are none.
    """
    beside = region.mask[:, 1:] & region.mask[:, :-1]
    squares = beside[1:] & beside[:-1]
    if squares.sum() < _LEAST:
        return np.full(3 * len(region.bands), np.nan)
    steps = np.diff(log_dn(region.bands), axis=2)
    checkers = np.diff(steps, axis=1)[:, squares]
    steps = steps[:, beside]
    sizes = [np.log(np.sqrt((values**2).mean(1)) + _FINEST) for values in (steps, checkers)]
    return np.concatenate([*sizes, (steps == 0).mean(1)])


def fingerprint(painted: Iterable[Region], real: Iterable[Region]) -> Fingerprint | None:
    """Learn to tell painted regions from real ones, and score each by what regions of other groups teach.

    The classifier is linear: least squares on both kinds' standardised structure, equally weighted, with a ridge.

    Args:
        painted: regions of painted patches.
        real: regions of real ones.

    Returns:
        None where fewer than eight of either kind are large enough, or fewer than two groups hold them.
    """
    rows, groups, is_paint = [], [], []
    for kind, regions in ((True, painted), (False, real)):
        for region in regions:
            rows.append(structure(region))
            groups.append(region.group)
            is_paint.append(kind)
    if not rows:
        return None
    features, paint, names = np.array(rows), np.array(is_paint), np.array(groups)
    known = np.isfinite(features).all(1)
    part = _dealt(names)
    if min(paint[known].sum(), (~paint[known]).sum()) < _FEWEST or len(np.unique(part[known])) < 2:
        return None
    scores = np.full(len(features), np.nan)
    for one in np.unique(part[known]):
        learned, judged = known & (part != one), known & (part == one)
        if 0 < paint[learned].sum() < learned.sum():
            scores[judged] = _told(features[learned], paint[learned], features[judged])
    scored = np.isfinite(scores)
    auc, (low, high) = _auc(scores[scored], paint[scored], names[scored])
    return Fingerprint(auc, low, high, scores[paint], scores[~paint])


def _dealt(names: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """Return the part of each group, in an order that is drawn."""
    different, of = np.unique(names, return_inverse=True)
    return np.asarray(generator("fingerprint").permutation(len(different))[of] % _PARTS)


def _told(features: Array, paint: npt.NDArray[np.bool_], judged: Array) -> Array:
    """Return the scores of some features by a classifier that learned from others."""
    weights = np.where(paint, 0.5 / paint.sum(), 0.5 / (~paint).sum())[:, None]
    middle = (weights * features).sum(0)
    scale = np.sqrt((weights * (features - middle) ** 2).sum(0)) + _FINEST
    x, y = (features - middle) / scale, np.where(paint, 1.0, -1.0)[:, None]
    ridge = _RIDGE / len(x) * np.eye(x.shape[1])
    found = (judged - middle) / scale @ np.linalg.solve((weights * x).T @ x + ridge, (weights * x).T @ y)
    # What is equal has to stay equal: where nothing can be told, rounding errors would rank it.
    return np.asarray(found[:, 0].round(9))


def _auc(scores: Array, paint: npt.NDArray[np.bool_], names: npt.NDArray[np.str_]) -> tuple[float, tuple[float, float]]:
    """Return the area under the ROC curve, ties counting half, and its interval from drawing groups anew."""
    n, ranks = int(paint.sum()), rankdata(scores)
    auc = (ranks[paint].sum() - n * (n + 1) / 2) / (n * (len(scores) - n))
    above = np.sign(scores[paint][:, None] - scores[~paint]) / 2 + 0.5
    different, of = np.unique(names, return_inverse=True)
    draws = (
        generator("fingerprint", "interval")
        .multinomial(len(different), np.full(len(different), 1 / len(different)), size=_DRAWS)[:, of]
        .astype(np.float64)
    )
    pairs = draws[:, paint].sum(1) * draws[:, ~paint].sum(1)
    drawn = ((draws[:, paint] @ above) * draws[:, ~paint]).sum(1)[pairs > 0] / pairs[pairs > 0]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(auc), (float(low), float(high))
