"""How far a difference of Dice may be off: other places could have been tested, and other replicates drawn."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

_DRAWS: Final = 2000

Counts = npt.NDArray[np.int64]
"""Pixels found, falsely found and missed: int64 (u, G, 3) by replicate and group."""


class Interval(NamedTuple):
    """An interval at 95 %."""

    low: float
    high: float


def dice(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return 2 TP / (2 TP + FP + FN) of counts (..., 3); not a number where there is nothing to find or found."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore"):
        share: npt.NDArray[np.float64] = 2 * tp / (2 * tp + fp + fn)
    return share


def difference_interval(first: Counts, other: Counts) -> Interval:
    """Return the bootstrap interval of the mean difference of Dice between two configs.

    Groups are drawn once for both, then replicates; counts are summed over groups, Dice is taken for each replicate,
    and the differences are averaged. With few groups plain percentiles are too close together, so they are moved
    apart as Student's t asks for (Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789, section 5.3).

    Args:
        first: of one config.
        other: of the other, with the same replicates and groups.
    """
    u, n_groups, _ = first.shape
    rng = np.random.default_rng(n_groups)
    times = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), _DRAWS)
    differences = dice(_summed(times, first)) - dice(_summed(times, other))
    chosen = np.take_along_axis(differences, rng.integers(0, u, (_DRAWS, u)), axis=1)
    known = np.isfinite(chosen)
    with np.errstate(invalid="ignore"):  # of groups without any fire
        means = np.where(known, chosen, 0).sum(axis=1) / known.sum(axis=1)
    if n_groups < 2:
        return Interval(float("-inf"), float("inf"))
    spread = np.sqrt(n_groups / (n_groups - 1)) * stats.t.ppf(0.975, n_groups - 1)
    tail = stats.norm.sf(spread)
    low, high = np.nanquantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _summed(times: npt.NDArray[np.int64], counts: Counts) -> npt.NDArray[np.int64]:
    """Return int64 (draws, u, 3): counts summed over groups, each as often as it was drawn."""
    u, n_groups, n = counts.shape
    return (times @ counts.transpose(1, 0, 2).reshape(n_groups, u * n)).reshape(-1, u, n)


def effective_groups(pixels: npt.NDArray[np.int64]) -> float:
    """Return how many groups of equal size would decide as much as these: (sum px)^2 / sum px^2 (Kish 1965)."""
    squares = float((pixels.astype(float) ** 2).sum())
    return float(pixels.sum()) ** 2 / squares if squares else 0.0


def false_alarm_interval(pixels: float, area_km2: float) -> Interval:
    """Return the Poisson interval of false alarms per 1,000 km2 (Garwood 1936) of a mean count on an area."""
    low = stats.chi2.ppf(0.025, 2 * pixels) / 2 if pixels else 0.0
    high = stats.chi2.ppf(0.975, 2 * (pixels + 1)) / 2
    return Interval(1000 * float(low) / area_km2, 1000 * float(high) / area_km2)
