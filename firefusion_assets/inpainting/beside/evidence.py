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

_LEVELS: Final = (0.01, 0.05, 0.2)
"""Chances of a fire at which a train part's fires are counted: one that is very clear, or many that are less so."""
_BY_CHANCE: Final = 0.05
"""How rarely so many fires may be counted by chance, at each level."""

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


def level_shown(chances: Sequence[float]) -> float | None:
    """Return up to which chance fires count as having something beside them; None if no more have it than by chance.

    Tested at three levels (binomial, 5 % each); of those that show it, the one at which most fires are beyond chance.
    Smoke that drifts over ground without fire, and old scars there, cost this some power.
    """
    n = len(chances)
    counts = {level: sum(one <= level for one in chances) for level in _LEVELS}
    shown = [level for level, count in counts.items() if binom.sf(count - 1, n, level) <= _BY_CHANCE]
    return max(shown, key=lambda level: counts[level] - level * n, default=None)
