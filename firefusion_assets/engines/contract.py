"""What every inpainting engine has in common: what it may read, what it takes, and what it must leave alone.

Nothing here is about a single engine.
"""

import numpy as np
import numpy.typing as npt

from firefusion_assets.core.errors import UserError
from firefusion_assets.patchstore import PatchPart


class NoFireError(UserError, ValueError):
    """An engine has no fire to learn from."""


class TrainerError(UserError, RuntimeError):
    """A trainer that runs in processes of its own failed; the message holds the reason that it gave."""


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
