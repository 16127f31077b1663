"""`python -m firefusion_assets.inpainting.handout KEY FOLDER`: a plan's backgrounds and masks as PNG, to be painted on.

How the painted images come back doesn't belong here; see `engines.files`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.lineage.fingerprints import MissingUpstreamError
from firefusion_assets.lineage.folds import read_folds
from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.generators import FilesGenerator


def hand_out(plan: Plan, train: PatchPart, composite: Sequence[str], size: int, folder: Path) -> None:
    """Write the backgrounds and masks of a plan as pairs of PNG, and `pairs.csv`.

    A background is 8-bit RGB, the composite's DN / `dn_max` * 255, rounded; engine `files` turns that back. A mask is
    8-bit grey: 255 in the edit mask, which may be painted, 0 elsewhere.

    Args:
        plan: what is to be painted.
        train: the fold's train part, which holds the backgrounds.
        composite: bands to show as red, green and blue.
        size: height and width of the PNG in px, a whole multiple of the patch size.
        folder: an empty or new one; gets `backgrounds/row-NNNNNN.png`, `masks/row-NNNNNN.png` and `pairs.csv` with
            columns row, background, mask, image (the name to save the painted image by), background_id, mask_id.

    Raises:
        ValueError: if the plan is empty, the folder isn't, the size won't do or the store lacks a band.
    """
    bands = train.meta.bands
    missing = [band for band in composite if band not in bands]
    if missing:
        raise ValueError(
            f"the store's bands ({', '.join(bands)}) lack {', '.join(missing)}; set generator.composite, with "
            "`engine: files`"
        )
    factor, rest = divmod(size, train.meta.patch_size)
    if rest or factor < 1:
        raise ValueError(f"--size: {size} is no whole multiple of the patches' {train.meta.patch_size} px")
    if plan.rows.empty:
        raise ValueError("the plan has no rows, so there is nothing to paint; set sampling.images")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: is not empty; name a new folder, so that two hand-outs don't mix")
    for name in ("backgrounds", "masks"):
        (folder / name).mkdir(parents=True)
    pairs = plan.rows[["row"]].copy()
    pairs["image"] = [f"row-{row:06d}.png" for row in pairs["row"]]
    pairs.insert(1, "background", "backgrounds/" + pairs["image"])
    pairs.insert(2, "mask", "masks/" + pairs["image"])
    pairs["background_id"], pairs["mask_id"] = plan.rows["background"], plan.rows["mask"]
    for pair, edit in zip(pairs.itertuples(), plan.edits, strict=True):
        dn = train.read(pair.background_id).bands[[bands.index(band) for band in composite]]
        shown = np.rint(dn.astype(np.float64) * 255 / train.meta.dn_max).astype(np.uint8)
        _save(shown.transpose(1, 2, 0), factor, folder / pair.background)
        _save(edit.astype(np.uint8) * 255, factor, folder / pair.mask)
    pairs.to_csv(folder / "pairs.csv", index=False)


def _save(picture: npt.NDArray[np.uint8], factor: int, path: Path) -> None:
    """Save a picture (H, W) or (H, W, 3), each pixel as a square of `factor` px."""
    Image.fromarray(picture.repeat(factor, axis=0).repeat(factor, axis=1)).save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Hand out the plan of a config of the study that FIREFUSION_STUDY names."""
    parser = argparse.ArgumentParser(description="Write a plan's backgrounds and masks as PNG, to be painted on.")
    parser.add_argument("key", help="config of the study")
    parser.add_argument("folder", type=Path, help="new folder for backgrounds, masks and pairs.csv")
    parser.add_argument("--fold", type=int, default=0, help="number of the fold (default: 0)")
    parser.add_argument("--size", type=int, help="px, a whole multiple of the patch size (default: the patch size)")
    chosen = parser.parse_args(arguments)
    try:
        lineage = open_lineage()
        generator = lineage.config(chosen.key).generator
        plans = lineage.find("inpainting_masks", chosen.key).path
        folds = {fold.number: fold for fold in read_folds(lineage)}
        if chosen.fold not in folds:
            raise ValueError(f"--fold: there is no fold {chosen.fold}; the study has {', '.join(map(str, folds))}")
        fold = folds[chosen.fold]
        plan = Plan.read(plans / fold.folder, fold.train.meta.patch_size)
        composite = getattr(generator, "composite", FilesGenerator.model_fields["composite"].default)
        size = fold.train.meta.patch_size if chosen.size is None else chosen.size
        hand_out(plan, fold.train, composite, size, chosen.folder)
    except MissingUpstreamError:
        raise SystemExit(
            f"the plan of {chosen.key!r} has not been made from today's settings and data; make it: dagster asset "
            f"materialize -m firefusion_assets.definitions --select '+inpainting_masks' --partition {chosen.key}"
        ) from None
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(f"{len(plan.rows)} backgrounds and masks: {chosen.folder / 'pairs.csv'}")


if __name__ == "__main__":
    main()
