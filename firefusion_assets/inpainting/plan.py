"""The painting plan: rows of (background, mask, crop, seed), in the order in which they are painted.

A row depends on the replicate's seed and on its own number, never on how many rows there are: the plan of a smaller
dose is a prefix of the plan of a larger one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from firefusion_assets.core.cropping import trimmed
from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.seeding import cycled_index, derive_seed, generator, spread_index
from firefusion_assets.inpainting.beside.measured import Beside
from firefusion_assets.inpainting.beside.painting import painted_beside
from firefusion_assets.inpainting.beside.planned import BESIDE, PLANES, PlannedBeside, beside_fire
from firefusion_assets.inpainting.choice import JUDGED, Choice, PlanError, choose
from firefusion_assets.inpainting.masks import Mask, Placed, load_masks, place, save_packed
from firefusion_assets.landsat.conditions import by_reflectance
from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.masks import Masks
from firefusion_assets.study.models import Backgrounds

CROP_PADDING: Final = 8
"""px of ground around the edit mask that a row's crop shows."""

ROWS: Final = 1_000_000
"""Numbers of rows that each replicate has for itself, so that one names a row of a fold."""

_COLUMNS = {
    "row": int, "background": str, "mask": str, "turn": int, "y": int, "x": int, "label_pixels": int,
    "crop_y": int, "crop_x": int, "crop_size": int, "seed": int,
}  # fmt: skip


class Draw(NamedTuple):
    """Which of a config's plans is drawn.

    Attributes:
        fold: number of the fold.
        replicate: number of the replicate.
        seed: the replicate's.
    """

    fold: int
    replicate: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """A replicate's plan as it was written.

    Attributes:
        rows: one row a patch to paint; `mask` is the patch whose real mask was used.
        labels: bool (N, H, W), label masks in the order of the rows.
        edits: bool (N, H, W), edit masks: what may change, smoke and scars with it.
        beside: smoke and scars beside the fires; None if the config asks for none.
    """

    rows: pd.DataFrame
    labels: Mask
    edits: Mask
    beside: PlannedBeside | None = None

    @classmethod
    def read(cls, folder: Path, patch_size: int) -> "Plan":
        """Read the plan that `write_plan` wrote."""
        labels, edits = (load_masks(folder / f"{name}.npy", patch_size) for name in ("labels", "edits"))
        beside = PlannedBeside.read(folder, patch_size)
        return cls(pd.read_parquet(folder / "plan.parquet"), labels, edits, beside)

    @classmethod
    def joined(cls, plans: Sequence["Plan"]) -> "Plan":
        """Return the rows of several plans of one fold in one."""
        rows = pd.concat([plan.rows for plan in plans], ignore_index=True)
        labels = np.concatenate([plan.labels for plan in plans])
        several = [plan.beside for plan in plans if plan.beside is not None]
        beside = PlannedBeside.joined(several) if several else None
        return cls(rows, labels, np.concatenate([plan.edits for plan in plans]), beside)

    @property
    def fires(self) -> Mask:
        """What an engine paints, bool (N, H, W): the edit masks without plumes and scars."""
        return self.edits if self.beside is None else self.edits & ~self.beside.plumes & ~self.beside.scars

    def ground(self, place: int, part: PatchPart) -> Patch:
        """Return what an engine paints a row's fire on: its background, with smoke and scar.

        Args:
            place: of the row.
            part: the fold's train part.
        """
        row = self.rows.iloc[place]
        background = part.read(row["background"])
        if self.beside is None:
            return background
        planes = self.labels[place], self.fires[place], self.beside.plumes[place], self.beside.scars[place]
        bands = painted_beside(background.bands, part.meta.bands, self.beside.measured, planes, int(row["seed"]))
        return background._replace(bands=bands)


def write_plan(
    part: PatchPart,
    table: pd.DataFrame,
    settings: Backgrounds,
    masks: Masks,
    sampling: Sampling,
    draw: Draw,
    folder: Path,
    beside: Beside | None = None,
) -> Mapping[str, Any]:
    """Write `plan.parquet`, `labels.npy` and `edits.npy` (bit-packed along the last axis) of one replicate.

    `JUDGED` is written too, unless nothing is painted; with smoke or scars also `plumes.npy`, `scars.npy` and `BESIDE`.

    Args:
        part: the fold's train part.
        table: of the patches, indexed by patch id.
        settings: what a background is.
        masks: what masks are made of.
        sampling: how many rows, which pairing.
        draw: which of a config's plans.
        folder: where the files are written.
        beside: what the part shows beside its fires, where the config asks for it.

    Returns:
        Facts: planned rows, rows that found no place, backgrounds, rejected patches, real masks.

    Raises:
        PlanError: if the part holds no fire, or no background.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    packed: dict[str, list[np.ndarray]] = {name: [] for name in ("labels", "edits", *(PLANES if beside else ()))}
    choice = Choice(pd.DataFrame(), [], (), {})
    if sampling.tries:
        choice = choose(part, table, settings, masks)
        choice.judged.to_parquet(folder / JUDGED)
    for number in range(sampling.tries):
        pair = number // sampling.seeds_per_pair
        background, mask = _pair(pair, choice, masks, sampling, draw)
        rng = generator(draw.seed, "place", draw.fold, pair)
        ground = part.read(background)
        seen = _seen(ground, part.meta.bands, masks, float(table.loc[background, "sun_elevation"]))
        avoided = np.logical_or.reduce([ground.ignore, ground.label, *(seen[name] for name in masks.avoid)])
        placed = _place_row(ground, choice.fires[mask], masks, avoided, rng)
        if placed is None:
            continue
        planes = {"labels": placed.label, "edits": placed.edit}
        if beside is not None:
            rng = generator(draw.seed, "beside", draw.fold, pair)
            own, blocked = placed.edit, ground.ignore | ground.label
            planes |= zip(PLANES, beside_fire(placed.label, own, blocked, seen, beside, rng), strict=True)
            planes["edits"] = np.logical_or.reduce([own, *(planes[name] for name in PLANES)])
        rows.append(
            {
                "row": draw.replicate * ROWS + number,
                "background": background,
                "mask": mask,
                "turn": placed.turn,
                "y": placed.y,
                "x": placed.x,
                "label_pixels": int(placed.label.sum()),
                **_crop(planes["edits"]),
                "seed": derive_seed(draw.seed, "paint", draw.fold, number),
            }
        )
        for name, plane in planes.items():
            packed[name].append(np.packbits(plane, axis=-1))
    if beside is not None:
        (folder / BESIDE).write_text(beside.model_dump_json(indent=1))
    for name, rows_of in packed.items():
        save_packed(rows_of, part.meta.patch_size, folder / f"{name}.npy")
    pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS).to_parquet(folder / "plan.parquet", index=False)
    return {
        "n_rows": len(rows),
        "n_without_place": sampling.tries - len(rows),
        "n_backgrounds": len(choice.backgrounds),
        "n_rejected_backgrounds": len(choice.judged) - len(choice.backgrounds),
        "n_real_masks": len(choice.fires),
    }


def _pair(number: int, choice: Choice, masks: Masks, sampling: Sampling, draw: Draw) -> tuple[str, str]:
    fires = list(choice.fires)
    n, m = len(choice.backgrounds), len(fires)

    def background(position: int) -> str:
        return choice.backgrounds[spread_index(position, choice.scenes, draw.seed, "background", draw.fold)]

    def fire(position: int) -> str:
        return fires[cycled_index(position, m, draw.seed, "mask", draw.fold)]

    if masks.stays:
        return fire(number), fire(number)
    if sampling.pairing == "pairs":
        return background(number), fire(number)
    # Round r pairs the background at place j with the mask at place j + r: every pair once in n * m rows.
    turn, place_in_turn = divmod(number, n * m)
    shift, j = divmod(place_in_turn, n)
    return background(turn * n + j), fire(turn * m + (j + shift) % m)


def _seen(background: Patch, bands: Sequence[str], masks: Masks, sun_elevation: float) -> Mapping[str, Mask]:
    """Return where a background is cloud, snow and water; nothing where that isn't asked for."""
    if not (masks.avoid or masks.beside):
        return {}
    return by_reflectance(dict(zip(bands, background.bands, strict=True)), sun_elevation)


def _place_row(
    background: Patch, fire: tuple[Mask, int, int], masks: Masks, avoided: Mask, rng: np.random.Generator
) -> Placed | None:
    piece, y, x = fire
    size = len(background.label)
    shape = masks.shape(piece, size, rng)
    if not shape.any() or max(shape.shape) > size:
        raise PlanError(f"masks.kind: {masks.kind} gave an empty shape, or one larger than a patch of {size} px")
    if masks.stays:
        label = np.zeros_like(background.label)
        label[y : y + shape.shape[0], x : x + shape.shape[1]] = shape
        return Placed(label, dilated(label, masks.dilation) & ~background.ignore, 0, y, x)
    return place(shape, avoided, background.ignore, masks.dilation, rng)


def _crop(edit: Mask) -> dict[str, int]:
    """Return a square around an edit mask with some ground around it, moved so as to stay inside the patch."""
    piece, y, x = trimmed(edit)
    size = edit.shape[0]
    side = min(size, max(piece.shape) + 2 * CROP_PADDING)
    top, left = (
        min(max(0, start + length // 2 - side // 2), size - side)
        for start, length in zip((y, x), piece.shape, strict=True)
    )
    return {"crop_y": top, "crop_x": left, "crop_size": side}
