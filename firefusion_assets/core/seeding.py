"""Seeds for every random draw, derived from what the draw is for.

A draw never depends on how many draws came before it: a resumed run, a run on other hardware and a longer run
all draw the same values for the same item.
"""

import hashlib
import json
from collections import Counter
from functools import lru_cache

import numpy as np
import numpy.typing as npt


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on every part and on their order.

    Args:
        *parts: what the draw is for, for example ``(187, "plan", fold, row)``.
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """Return a NumPy generator seeded with `derive_seed` of the parts."""
    return np.random.default_rng(derive_seed(*parts))


def cycled_index(position: int, size: int, *parts: int | str) -> int:
    """Return the item at a position of an endless stream of shuffled passes over ``range(size)``.

    Every pass shows every item once; the stream is the same wherever one starts to read it.

    Args:
        position: place in the stream, from 0.
        size: number of items, at least 1.
        *parts: what the stream is for.
    """
    epoch, place = divmod(position, size)
    return int(_shuffled(size, *parts, epoch)[place])


def spread_index(position: int, groups: tuple[str, ...], *parts: int | str) -> int:
    """Return the item at a position of a stream like `cycled_index`'s that goes round all groups before it comes back.

    Every pass shows every item once, and as many groups as it can before it shows one again.

    Args:
        position: place in the stream, from 0.
        groups: of each item.
        *parts: what the stream is for.
    """
    epoch, place = divmod(position, len(groups))
    return int(_spread(groups, *parts, epoch)[place])


@lru_cache(maxsize=16)  # a batch asks for the same pass again and again
def _shuffled(size: int, *parts: int | str) -> npt.NDArray[np.int64]:
    return generator(*parts).permutation(size)


@lru_cache(maxsize=16)
def _spread(groups: tuple[str, ...], *parts: int | str) -> npt.NDArray[np.int64]:
    order = generator(*parts).permutation(len(groups))
    seen: Counter[str] = Counter()
    rounds = []
    for group in (groups[item] for item in order):
        rounds.append(seen[group])
        seen[group] += 1
    return order[np.argsort(rounds, kind="stable")]
