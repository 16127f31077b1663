"""What every inpainting engine has in common: what it may read, what it takes, and what it must leave alone.

Nothing here is about a single engine.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from firefusion_assets.core.errors import UserError
from firefusion_assets.patchstore import PatchPart

if TYPE_CHECKING:
    import torch


class NoFireError(UserError, ValueError):
    """An engine has no fire to learn from."""


class DamagedModelError(UserError, ValueError):
    """A model of which nothing can be painted."""


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
        painted: DN (N, C, H, W); read inside the edit masks only.
        backgrounds: uint16 DN (N, C, H, W).
        edits: bool (N, H, W).
        dn_max: largest DN; the smallest is 1, since 0 is fill.

    Returns:
        uint16 DN (N, C, H, W); a patch whose paint isn't `finite` stays the background.
    """
    inside = (edits & finite(painted, edits)[:, None, None])[:, None] & np.ones_like(backgrounds, bool)
    composed = backgrounds.copy()
    composed[inside] = np.clip(np.rint(painted[inside]), 1, dn_max).astype(np.uint16)
    return composed


def finite(painted: npt.NDArray[np.floating], edits: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which patches (N,) are painted with numbers alone inside their edit masks; see `compose`."""
    return np.asarray((np.isfinite(painted) | ~edits[:, None]).all(axis=(1, 2, 3)))


def require_finite(network: "torch.nn.Module", folder: Path) -> None:
    """Stop a model folder of which a weight isn't a number.

    Raises:
        DamagedModelError: naming folder, weight and remedy.
    """
    for name, values in network.named_parameters():
        if not values.isfinite().all():
            raise DamagedModelError(
                f"{folder}: {name} of the network holds values that aren't numbers; its training diverged, or the base "
                "model is damaged: lower generator.learning_rate or download the base model again"
            )


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
