"""What a plan is made of: the backgrounds of a train part, and the masks of its fires."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from firefusion_assets.core.cropping import trimmed
from firefusion_assets.core.errors import UserError
from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.inpainting.backgrounds import count_reasons, judge
from firefusion_assets.inpainting.masks import Mask
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.masks import Masks
from firefusion_assets.study.models import Backgrounds

JUDGED: Final = "backgrounds.parquet"
"""Table that goes with a plan: why a patch of the train part is no background; see `judge`."""


class PlanError(UserError, ValueError):
    """A train part that nothing can be painted on."""


@dataclass(frozen=True)
class Choice:
    """What the rows of a plan are made of.

    Attributes:
        judged: the patches of the part, of `judge`.
        backgrounds: those to paint on.
        scenes: of each of them.
        fires: by patch, the mask of its fire within its bounding box, and the box's first row and column.
    """

    judged: pd.DataFrame
    backgrounds: list[str]
    scenes: tuple[str, ...]
    fires: dict[str, tuple[Mask, int, int]]


def choose(part: PatchPart, table: pd.DataFrame, settings: Backgrounds, masks: Masks) -> Choice:
    """Find a part's backgrounds and fires.

    Args:
        part: the fold's train part.
        table: of the patches, indexed by patch id.
        settings: what a background is.
        masks: what masks are made of.

    Raises:
        PlanError: if there is no fire, or no background.
    """
    table = table.loc[list(part.ids)]
    judged = judge(table, settings, part.meta.patch_size)
    free = judged[judged["reason"] == ""]
    choice = Choice(judged, free.index.tolist(), tuple(free["scene"]), _fires(part, table, masks))
    if not choice.fires:
        if masks.whole:
            raise PlanError(
                "the train part holds no fire that its patch's border doesn't cut; set masks.whole: false, or cut "
                "larger patches"
            )
        if masks.source == "label":
            raise PlanError("the train part holds no fire, so there is no mask; add scenes or change split.seed")
        raise PlanError(
            f"{masks.source} sees no fire in the train part's patches with fire, so there is no mask; use "
            "masks.source: label, or another detector"
        )
    if not choice.backgrounds and not masks.stays:
        counts = ", ".join(f"{kind} {n}" for kind, n in count_reasons(judged).items())
        raise PlanError(
            f"none of the train part's {len(judged)} patches can be painted on ({counts}); add scenes, or loosen "
            "backgrounds.min_clear, max_water or max_fill in study.yaml"
        )
    return choice


def _fires(part: PatchPart, table: pd.DataFrame, masks: Masks) -> dict[str, tuple[Mask, int, int]]:
    """Return the fires of a part by the patch that they burn in."""
    fires = {}
    for patch_id, elevation in table.loc[table["fire_pixels"] > 0, "sun_elevation"].items():
        patch = part.read(str(patch_id))
        mask = patch.label
        if masks.source != "label":
            bands = dict(zip(part.meta.bands, patch.bands, strict=True))
            mask = detect([masks.source], bands, elevation)[masks.source] & ~patch.ignore
        if masks.whole:
            mask = mask & ~_cut_off(mask)
        if mask.any():
            piece, y, x = trimmed(mask)
            fires[str(patch_id)] = piece.copy(), y, x  # a view would keep the whole mask
    return fires


def _cut_off(mask: Mask) -> Mask:
    """Return the fires of a mask that reach its border."""
    numbers = numbered_fires(mask)
    border = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    return np.isin(numbers, border[border > 0])
