"""Pictures straight from stores and models, shown with the assets that made them."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.pictures import (
    IGNORE_COLOUR,
    MASK_COLOUR,
    PLUME_COLOUR,
    SCAR_COLOUR,
    Composite,
    Picture,
    contact_sheet,
    on_grey,
    outline,
)
from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.inpainting.choice import JUDGED
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.patchstore import Patches, PatchPart
from firefusion_assets.report.inputs import EXAMPLES
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Engine

_EDIT_MARGIN: Final = 3
"""px around a real fire that may change in a picture of a fitted model."""


def patch_sheet(store: Path, table: pd.DataFrame, composite: Composite) -> Image.Image:
    """Show the patches with most fire next to their label; of a set without fire, its first ones.

    Args:
        store: folder of the base store.
        table: patches with patch_id, scene and fire_pixels.
        composite: shows the patches.
    """
    patches = Patches(store)
    pictures, captions = [], []
    for row in table.sort_values(["fire_pixels", "patch_id"], ascending=[False, True])[:EXAMPLES].itertuples():
        patch = patches.read(row.patch_id)
        picture = composite(patch.bands)
        pictures.append([picture, outline(picture, patch.label)])
        captions.append(f"{row.patch_id}: {row.fire_pixels} fire px")
    return contact_sheet(pictures, ("patch", "label"), captions)


def plan_sheet(part: PatchPart, folder: Path, composite: Composite) -> Image.Image:
    """Show rows of a plan, from small fires to large ones, and a rejected background for each kind of reason.

    Args:
        part: the fold's train part.
        folder: the fold's plan folder.
        composite: shows the patches.
    """
    plan = Plan.read(folder, part.meta.patch_size)
    rows = plan.rows.sort_values("label_pixels", kind="stable")
    rows = rows[:: max(1, len(rows) // EXAMPLES)][:EXAMPLES]
    pictures, captions = [], []
    for row in rows.itertuples():
        background = composite(part.read(row.background).bands)
        pictures.append([background, _masks(background, plan, row.Index)])
        captions.append(f"row {row.row}: {row.label_pixels} px of {row.mask} on {row.background}")
    judged = pd.read_parquet(folder / JUDGED)
    rejected = judged[judged["reason"] != ""]
    for patch_id, reason in rejected.groupby(rejected["reason"].str.partition(":")[0]).head(1)["reason"].items():
        pictures.append([composite(part.read(str(patch_id)).bands)])
        captions.append(f"REJECTED {patch_id}: {reason}")
    return contact_sheet(pictures, ("background", "mask and edit mask"), captions)


def synthetic_sheet(part: PatchPart, plan: Plan, synthetic: SyntheticPatches, composite: Composite) -> Image.Image:
    """Show painted patches, from small fires to large ones, beside what they are painted on.

    Args:
        part: the fold's train part.
        plan: what was to be painted.
        synthetic: what was, from the plan's first row on.
        composite: shows the patches.
    """
    rows = plan.rows.iloc[: len(synthetic)].reset_index(drop=True).sort_values("label_pixels", kind="stable")
    rows = rows[:: max(1, len(rows) // EXAMPLES)][:EXAMPLES]
    pictures, captions = [], []
    for row in rows.itertuples():
        scenes = np.concatenate([part.read(row.background).bands, synthetic.read(row.Index)], axis=2)
        # Side by side in one picture, so that both are stretched alike.
        background, painted = np.split(composite(scenes), 2, axis=1)
        pictures.append([background, _masks(background, plan, row.Index), painted])
        captions.append(f"row {row.row}: {row.label_pixels} px on {row.background}")
    return contact_sheet(pictures, ("background", "mask and edit mask", "painted"), captions)


def _masks(background: Picture, plan: Plan, place: int) -> Picture:
    """Show a row's masks: scar, plume over it, the fire's edit mask, its label."""
    layers = [(plan.fires[place], IGNORE_COLOUR), (plan.labels[place], MASK_COLOUR)]
    if plan.beside is not None:
        layers = [(plan.beside.scars[place], SCAR_COLOUR), (plan.beside.plumes[place], PLUME_COLOUR), *layers]
    return on_grey(background, *layers)


def model_sheet(generator: Engine, part: PatchPart, folder: Path, composite: Composite) -> Image.Image | None:
    """Show what a fitted engine paints where real fires of the train part burn; None if it has nothing to show.

    Args:
        generator: the engine.
        part: the fold's train part.
        folder: the fold's model folder.
        composite: shows the patches.
    """
    settings = generator.sheet_sampling()
    if settings is None:
        return None
    # The model's object doesn't depend on a config's masks and sampling, so neither does its picture.
    # One at a time: a picture must not need more memory than the fitting did.
    sampling = Sampling(batch_size=1, **settings)
    fires = [(patch_id, patch) for patch_id in part.ids if (patch := part.read(patch_id)).label.any()]
    fires = fires[:: max(1, len(fires) // EXAMPLES)][:EXAMPLES]
    patches = [patch for _, patch in fires]
    backgrounds = np.stack([patch.bands for patch in patches])
    labels = np.stack([patch.label for patch in patches])
    edits = np.stack([dilated(patch.label, _EDIT_MARGIN) & ~patch.ignore for patch in patches])
    seeds = np.array([derive_seed("sample", patch_id) for patch_id, _ in fires], np.int64)
    painted = generator.load(folder, sampling).paint(backgrounds, labels, edits, seeds)
    pictures = [
        [composite(real), outline(composite(real), label), composite(fake)]
        for real, label, fake in zip(backgrounds, labels, painted, strict=True)
    ]
    return contact_sheet(pictures, ("real fire", "mask", "painted anew"), [patch_id for patch_id, _ in fires])
