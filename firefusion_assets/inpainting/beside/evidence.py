"""Whether what is seen beside real fires is seen beside fires only.

The same fire masks, laid on ground where nothing burns, say how much of it is seen by chance. What it is that is
looked for is the caller's.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from firefusion_assets.core.orientation import ORIENTATIONS, turned

SHOWN: Final = 0.05
"""Chance of as much on ground without fire, up to which a fire counts as having it."""
_LEVELS: Final = (0.01, SHOWN)
"""Chances of a fire at which a train part's fires are counted: one that is very clear, or several that are clear."""

Mask = npt.NDArray[np.bool_]
Amount = Callable[[Mask], float]
"""Says how much of it is seen beside a fire's label, bool (H, W); 0 is nothing."""


def chance(amount: float, label: Mask, grounds: Iterable[Amount]) -> float:
    """Return how often a fire's label would have as much beside it on ground without fire, turned in 8 ways.

    It is never 0, and 1 where there is nothing beside the fire, or no ground to compare with.
    """
    if not amount:
        return 1.0
    by_chance = [ground(turned(label, turn)) for ground in grounds for turn in range(ORIENTATIONS)]
    return (1 + sum(other >= amount for other in by_chance)) / (1 + len(by_chance))


def is_shown(chances: Sequence[float]) -> bool:
    """Tell whether more fires than chance would explain (binomial, 5 % at either level) have something beside them."""
    counts = [(sum(one <= level for one in chances), level) for level in _LEVELS]
    return any(binom.sf(count - 1, len(chances), level) <= SHOWN for count, level in counts)
