"""The painting plan: rows of (background, mask, crop, seed), in the order in which they are painted.

A row depends on the config's seed and on its own number, never on how many rows there are: the plan of a smaller
dose is a prefix of the plan of a larger one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from firefusion_assets.inpainting.masks import Mask, Placed, dilated, load_masks, place, save_packed, shape_of, trimmed
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.seeding import cycled_index, derive_seed, generator
from firefusion_assets.study.augmentation import Masks, Sampling

CROP_PADDING: Final = 8
"""px of ground around the edit mask that a row's crop shows."""

_COLUMNS = {
    "row": int, "background": str, "mask": str, "turn": int, "y": int, "x": int, "label_pixels": int,
    "crop_y": int, "crop_x": int, "crop_size": int, "seed": int,
}  # fmt: skip


class PlanError(ValueError):
    """A train part that nothing can be painted on."""


@dataclass(frozen=True)
class Plan:
    """A fold's plan as it was written.

    Attributes:
        rows: one row a patch to paint; `mask` is the patch whose real mask was used.
        labels: bool (N, H, W), label masks in the order of the rows.
        edits: bool (N, H, W), edit masks.
    """

    rows: pd.DataFrame
    labels: Mask
    edits: Mask

    @classmethod
    def read(cls, folder: Path, patch_size: int) -> "Plan":
        """Read the plan that `write_plan` wrote."""
        labels, edits = (load_masks(folder / f"{name}.npy", patch_size) for name in ("labels", "edits"))
        return cls(pd.read_parquet(folder / "plan.parquet"), labels, edits)


def write_plan(part: PatchPart, masks: Masks, sampling: Sampling, fold: int, folder: Path) -> Mapping[str, Any]:
    """Write `plan.parquet`, `labels.npy` and `edits.npy` (bit-packed along the last axis) of one fold.

    Args:
        part: the fold's train part.
        masks: what masks are made of.
        sampling: how many rows, which pairing, which seed.
        fold: number of the fold.
        folder: where the files are written.

    Returns:
        Facts: planned rows, rows that found no place, backgrounds, real masks.

    Raises:
        PlanError: if the part holds no fire.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    packed: dict[str, list[np.ndarray]] = {"labels": [], "edits": []}
    backgrounds, fires = _candidates(part) if sampling.tries else ([], [])
    for number in range(sampling.tries):
        background, mask = _pair(number, backgrounds, fires, masks, sampling, fold)
        rng = generator(sampling.seed, "place", fold, number)
        placed = _place_row(part, background, mask, masks, rng)
        if placed is None:
            continue
        rows.append(
            {
                "row": number,
                "background": background,
                "mask": mask,
                "turn": placed.turn,
                "y": placed.y,
                "x": placed.x,
                "label_pixels": int(placed.label.sum()),
                **_crop(placed.edit),
                "seed": derive_seed(sampling.seed, "paint", fold, number),
            }
        )
        packed["labels"].append(np.packbits(placed.label, axis=-1))
        packed["edits"].append(np.packbits(placed.edit, axis=-1))
    for name, planes in packed.items():
        save_packed(planes, part.meta.patch_size, folder / f"{name}.npy")
    pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS).to_parquet(folder / "plan.parquet", index=False)
    return {
        "n_rows": len(rows),
        "n_without_place": sampling.tries - len(rows),
        "n_backgrounds": len(backgrounds),
        "n_real_masks": len(fires),
    }


def _candidates(part: PatchPart) -> tuple[list[str], list[str]]:
    """Return the patches that can be painted on, and those with a fire whose mask can be used.

    Backgrounds are free of fire and at least half ground; only where there are none, patches with fire serve too.
    """
    free, fires = [], []
    for patch_id in part.ids:
        patch = part.read(patch_id)
        if patch.label.any():
            fires.append(patch_id)
        elif patch.ignore.mean() < 0.5:
            free.append(patch_id)
    if not fires:
        raise PlanError("the train part holds no fire, so there is no mask to paint; add scenes or change split.seed")
    return free or fires, fires


def _pair(
    number: int, backgrounds: list[str], fires: list[str], masks: Masks, sampling: Sampling, fold: int
) -> tuple[str, str]:
    seed, n, m = sampling.seed, len(backgrounds), len(fires)
    if masks.kind == "annotated":
        fire = fires[cycled_index(number, m, seed, "mask", fold)]
        return fire, fire
    if sampling.pairing == "pairs":
        background = backgrounds[cycled_index(number, n, seed, "background", fold)]
        return background, fires[cycled_index(number, m, seed, "mask", fold)]
    # Round r pairs the background at place j with the mask at place j + r: every pair once in n * m rows.
    turn, place_in_turn = divmod(number, n * m)
    shift, j = divmod(place_in_turn, n)
    background = backgrounds[cycled_index(turn * n + j, n, seed, "background", fold)]
    return background, fires[cycled_index(turn * m + (j + shift) % m, m, seed, "mask", fold)]


def _place_row(
    part: PatchPart, background_id: str, mask_id: str, masks: Masks, rng: np.random.Generator
) -> Placed | None:
    background = part.read(background_id)
    if masks.kind == "annotated":
        _, y, x = trimmed(background.label)
        return Placed(background.label, dilated(background.label, masks.dilation) & ~background.ignore, 0, y, x)
    shape = shape_of(part.read(mask_id).label, masks.kind, rng)
    return place(shape, background.ignore | background.label, background.ignore, masks.dilation, rng)


def _crop(edit: Mask) -> dict[str, int]:
    """Return a square around an edit mask with some ground beside it, moved so as to stay inside the patch."""
    piece, y, x = trimmed(edit)
    size = edit.shape[0]
    side = min(size, max(piece.shape) + 2 * CROP_PADDING)
    top, left = (
        min(max(0, start + length // 2 - side // 2), size - side)
        for start, length in zip((y, x), piece.shape, strict=True)
    )
    return {"crop_y": top, "crop_x": left, "crop_size": side}
