"""What every inpainting engine has in common: what it may read, what it takes, and what it must leave alone.

Nothing of a single engine belongs here.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from firefusion_assets.patchstore import PatchPart


class NoFireError(ValueError):
    """An engine has no fire to learn from."""


class TrainerError(RuntimeError):
    """A trainer that runs in processes of its own failed; the message says why, as far as it told."""


class Painter(Protocol):
    """A fitted engine."""

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch.

        The bytes of a painted patch follow from its own arguments and the batch it is painted in.

        Args:
            backgrounds: uint16 DN (N, C, H, W), bands in store order.
            labels: bool (N, H, W), where fire shall be.
            edits: bool (N, H, W), what may change; holds the label.
            seeds: int64 (N,), a seed for each patch.

        Returns:
            uint16 DN (N, C, H, W): 1 to the store's `dn_max` inside the edit masks, the background outside.
        """
        ...


def compose(
    painted: npt.NDArray[np.floating],
    backgrounds: npt.NDArray[np.uint16],
    edits: npt.NDArray[np.bool_],
    dn_max: int,
) -> npt.NDArray[np.uint16]:
    """Return the backgrounds with the paint inside the edit masks: the last step of every engine.

    Args:
        painted: DN (N, C, H, W), any finite values; read inside the edit masks only.
        backgrounds: uint16 DN (N, C, H, W).
        edits: bool (N, H, W).
        dn_max: largest DN; the smallest is 1, since 0 is fill.

    Raises:
        ValueError: if the paint isn't finite inside an edit mask.
    """
    inside = np.broadcast_to(edits[:, None], backgrounds.shape)
    paint = painted[inside]
    if not np.isfinite(paint).all():
        raise ValueError("an engine painted values that aren't numbers; its model is damaged or its training diverged")
    composed = backgrounds.copy()
    composed[inside] = np.clip(np.rint(paint), 1, dn_max).astype(np.uint16)
    return composed


def fire_patches(train: PatchPart) -> list[str]:
    """Return the patches of the train part that hold a fire pixel which isn't ignored.

    Raises:
        NoFireError: if there are none.
    """
    ids = list(train.statistics.fire)
    if not ids:
        raise NoFireError(
            f"none of the {len(train)} patches of the train part holds a fire, so no engine can learn "
            "to paint one; give the data set more patches with fire, or set `generator: {engine: none}`"
        )
    return ids
