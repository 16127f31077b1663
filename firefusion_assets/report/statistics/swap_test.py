"""The exact swap test of paired differences, and what several of them together may claim.

If two configs were equal, each pair could as well have come the other way round: the test counts how often the mean
difference would then be as large (Fisher 1935, "The design of experiments", section 21).
"""

from collections.abc import Sequence
from itertools import count
from typing import Final

import numpy as np
import numpy.typing as npt

LEVEL: Final = 0.05
"""Share of studies without any effect in which something is claimed."""
_EXACT_UP_TO: Final = 16
"""Pairs up to which every way of swapping them is looked at."""
_RANDOM_SWAPS: Final = 100_000
_ROUNDING: Final = 1e-9
"""Share of all differences by which two sums may differ and still count as equal."""


def swap_test(differences: npt.NDArray[np.float64]) -> float:
    """Return the share of the ways to swap pairs whose mean difference is at least as far from 0 as the one found.

    Above 16 pairs 100,000 random ways are looked at, and the one found (Phipson & Smyth 2010,
    https://doi.org/10.2202/1544-6115.1585).

    Args:
        differences: float (u,), one a pair; without any the share is 1.
    """
    u = len(differences)
    found = abs(differences.sum()) - _ROUNDING * np.abs(differences).sum()
    if u <= _EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**u)[:, None] >> np.arange(u)) & 1)
        sums = np.abs(signs @ differences)
        return float((sums >= found).mean())
    rng = np.random.default_rng(u)
    as_large = 1
    for _ in range(10):  # a tenth at a time, for the sake of memory
        signs = rng.integers(0, 2, (_RANDOM_SWAPS // 10, u), np.int8) * 2 - 1
        as_large += int((np.abs(signs @ differences) >= found).sum())
    return as_large / (_RANDOM_SWAPS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number, so that any claim among them is false in at most 5 % of studies.

    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = np.argsort(p, kind="stable")
    stepped = [min(1.0, (len(p) - place) * p[number]) for place, number in enumerate(order)]
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(stepped) if stepped else []
    return [float(value) for value in adjusted]


def smallest_p(replicates: int, contrasts: int) -> float:
    """Return the smallest p that so many replicates can give, adjusted for so many contrasts."""
    return min(1.0, contrasts * (0.5 ** (replicates - 1) if replicates <= _EXACT_UP_TO else 1 / (_RANDOM_SWAPS + 1)))


def replicates_needed(contrasts: int) -> int:
    """Return the least number of pairs whose test can fall below the level shared by so many contrasts."""
    return next(u for u in count(1) if 2 / 2**u < LEVEL / contrasts)
