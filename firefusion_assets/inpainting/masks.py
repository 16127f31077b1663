"""Label masks and edit masks: what they are made of and where they may lie. Which go together is the plan's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.orientation import ORIENTATIONS, turned

Mask = npt.NDArray[np.bool_]

_PLACING_TRIES = 50


@dataclass(frozen=True)
class Placed:
    """A label mask on a background.

    Attributes:
        label: bool (H, W), where fire shall be.
        edit: bool (H, W), what the generator may change; covers the label.
        turn: which of the 8 symmetries of the square was used.
        y: row of the mask's upper edge in the background.
        x: column of the mask's left edge in the background.
    """

    label: Mask
    edit: Mask
    turn: int
    y: int
    x: int


def place(shape: Mask, forbidden: Mask, fill: Mask, dilation: int, rng: np.random.Generator) -> Placed | None:
    """Flip, turn and move a shape to where it may lie on a background.

    Args:
        shape: bool, at most as large as the background.
        forbidden: bool (H, W), where the label may not lie: fill, the background's own fire.
        fill: bool (H, W), where there is no ground: cut out of the edit mask.
        dilation: px by which the edit mask is larger.
        rng: where the draws come from.

    Returns:
        The placed mask, or None if no allowed place was found.
    """
    height, width = forbidden.shape
    for _ in range(_PLACING_TRIES):
        turn = int(rng.integers(ORIENTATIONS))
        piece = turned(shape, turn)
        y = int(rng.integers(height - piece.shape[0] + 1))
        x = int(rng.integers(width - piece.shape[1] + 1))
        moved = np.zeros((height, width), bool)
        moved[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
        if not (moved & forbidden).any():
            return Placed(moved, dilated(moved, dilation) & ~fill, turn, y, x)
    return None


def save_packed(planes: Sequence[npt.NDArray[np.uint8]], size: int, path: Path) -> None:
    """Write masks of (size, size) that were packed by `numpy.packbits` along the last axis, as one array."""
    np.save(path, np.array(planes, np.uint8).reshape(len(planes), size, -(-size // 8)))


def load_masks(path: Path, size: int) -> Mask:
    """Read the masks that `save_packed` wrote: bool (N, size, size)."""
    return np.unpackbits(np.load(path), axis=-1, count=size).view(np.bool_)
