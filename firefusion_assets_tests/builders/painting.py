"""Fires that an engine paints into two patches."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Engine

SIZE = 32

Mask = npt.NDArray[np.bool_]


def dilated_slowly(fire: Mask, px: int) -> Mask:
    y, x = np.mgrid[: fire.shape[0], : fire.shape[1]]
    near = np.zeros_like(fire)
    for row, column in np.argwhere(fire):
        near |= (y - row) ** 2 + (x - column) ** 2 <= px**2
    return near


def fires() -> tuple[Mask, Mask]:
    """Labels and edit masks: a front longer than a window, and several small fires, one in a corner."""
    labels = np.zeros((2, SIZE, SIZE), bool)
    labels[0, 14:18, 2:30] = True
    for row, column, side in ((0, 0, 1), (8, 24, 2), (25, 4, 3), (24, 27, 1)):
        labels[1, row : row + side, column : column + side] = True
    return labels, np.stack([dilated_slowly(label, 3) for label in labels])


def paint_fires(
    settings: Engine, folder: Path, part: PatchPart, **sampling: Any
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], Mask]:
    """Paint `fires` into two patches; return them, the backgrounds and the edit masks."""
    backgrounds = np.stack([part.read(name).bands for name in ("free-1", "free-2")])
    labels, edits = fires()
    painter = settings.load(folder, Sampling.model_validate({"images": 1, "steps": 2} | sampling))
    return painter.paint(backgrounds, labels, edits, np.array([11, 12])), backgrounds, edits
