"""A plan's backgrounds and masks as PNG, to be painted on.

An engine takes the painted images in.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.folders import is_new
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.patchstore import PatchPart


def hand_out(plan: Plan, train: PatchPart, composite: Sequence[str], size: int, folder: Path) -> None:
    """Write the backgrounds and masks of a plan as pairs of PNG, and `pairs.csv`.

    A background is 8-bit RGB, the composite's DN / `dn_max` * 255, rounded; the engine that takes the paint in turns
    that back; smoke and scars are there already. A mask is 8-bit grey: 255 in the fire's edit mask, which may be
    painted, 0 elsewhere.

    Args:
        plan: what is to be painted.
        train: the fold's train part, which holds the backgrounds.
        composite: bands to show as red, green and blue.
        size: height and width of the PNG in px, a whole multiple of the patch size.
        folder: an empty or new one; gets `backgrounds/row-NNNNNN.png`, `masks/row-NNNNNN.png` and `pairs.csv` with
            columns row, background, mask, image (the name to save the painted image by), background_id, mask_id.

    Raises:
        RequestError: if the plan is empty, the folder isn't, the size won't do or the store lacks a band.
    """
    bands = train.meta.bands
    missing = [band for band in composite if band not in bands]
    if missing:
        raise RequestError(
            f"the store's bands ({', '.join(bands)}) lack {', '.join(missing)}; set generator.composite, with "
            "an engine that has one"
        )
    factor, rest = divmod(size, train.meta.patch_size)
    if rest or factor < 1:
        raise RequestError(f"--size: {size} is no whole multiple of the patches' {train.meta.patch_size} px")
    if plan.rows.empty:
        raise RequestError("the plan has no rows, so there is nothing to paint; set sampling.images")
    if not is_new(folder):
        raise RequestError(f"{folder}: is not empty; name a new folder, so that two hand-outs don't mix")
    for name in ("backgrounds", "masks"):
        (folder / name).mkdir(parents=True)
    pairs = plan.rows[["row"]].copy()
    pairs["image"] = [f"row-{row:06d}.png" for row in pairs["row"]]
    pairs.insert(1, "background", "backgrounds/" + pairs["image"])
    pairs.insert(2, "mask", "masks/" + pairs["image"])
    pairs["background_id"], pairs["mask_id"] = plan.rows["background"], plan.rows["mask"]
    for place, (pair, edit) in enumerate(zip(pairs.itertuples(), plan.fires, strict=True)):
        dn = plan.ground(place, train).bands[[bands.index(band) for band in composite]]
        shown = np.rint(dn.astype(np.float64) * 255 / train.meta.dn_max).astype(np.uint8)
        _save(shown.transpose(1, 2, 0), factor, folder / pair.background)
        _save(edit.astype(np.uint8) * 255, factor, folder / pair.mask)
    pairs.to_csv(folder / "pairs.csv", index=False)


def _save(picture: npt.NDArray[np.uint8], factor: int, path: Path) -> None:
    """Save a picture (H, W) or (H, W, 3), each pixel as a square of `factor` px."""
    Image.fromarray(picture.repeat(factor, axis=0).repeat(factor, axis=1)).save(path)
