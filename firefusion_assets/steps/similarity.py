"""How alike a config's painted fires and the real fires of the train part look to CLIP."""

from collections.abc import Iterator

import pandas as pd

from firefusion_assets.core.pictures import Composite
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.similarity import ClipEncoder, NamedCrop, clip_similarity, masked_crop
from firefusion_assets.inpainting.verdicts import COPY_DISTANCE, Verdicts
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import read_replicates
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.report.sheets import composite_of


def study_similarity(lineage: Lineage, key: str, encode: ClipEncoder) -> pd.DataFrame:
    """Compare a config's accepted synthetic patches with the real fires of their fold's train part.

    All paint inside a label is compared, as in the search for copies: a refined label would hide the rest.

    Args:
        lineage: the study's objects.
        key: the config.
        encode: the model.

    Returns:
        `clip_similarity`'s columns, behind fold and replicate, and the verdicts' nearest_distance (missing if no real
        fire was alike enough in shape to compare), one row an accepted patch of each replicate.

    Raises:
        MissingUpstreamError: if the config's patches were not painted and screened.
    """
    painted, plans, verdicts = (
        lineage.find(asset, key).path for asset in ("synthetic_images", "inpainting_masks", "screened_images")
    )
    composite, tables = composite_of(lineage.study), []
    for replicate in read_replicates(lineage, key):
        fold = replicate.fold
        size = fold.train.meta.patch_size
        synthetic = SyntheticPatches(painted / replicate.folder)
        labels = Plan.read(plans / replicate.folder, size).labels
        rows = Verdicts.read(verdicts / replicate.folder, size).rows
        accepted = rows[rows["accepted"]]
        crops = (
            (synthetic_id, masked_crop(synthetic.read(number), labels[number], composite))
            for number, synthetic_id in accepted["synthetic_id"].items()
        )
        table = clip_similarity(crops, _real_crops(fold.train, composite), encode)
        table.insert(0, "fold", fold.number)
        table.insert(1, "replicate", replicate.number)
        tables.append(table.assign(nearest_distance=accepted["nearest_distance"].to_numpy()))
    return pd.concat(tables, ignore_index=True)


def similarity_summary(table: pd.DataFrame) -> str:
    """Write what the table of `study_similarity` comes to, and how far it can be trusted."""
    mean, largest = table["mean_cosine"], table["max_cosine"]
    copies, unlike = (table["nearest_distance"] < COPY_DISTANCE).sum(), table["nearest_distance"].isna().sum()
    return (
        f"{len(table)} accepted synthetic patches, each against the real fires of its fold's train part\n"
        f"mean cosine:    {mean.mean():.3f} ± {mean.std(ddof=0):.3f}\n"
        f"largest cosine: {largest.mean():.3f} ± {largest.std(ddof=0):.3f}\n"
        "(± is the standard deviation over patches.) A high figure is no proof of good paint: copies of training "
        f"fires score highest.\nNear-copies of a training fire: {copies} of {len(table)} (contrast within "
        f"{COPY_DISTANCE} standard deviations); {unlike} had no real fire of like shape to be compared with."
    )


def _real_crops(part: PatchPart, composite: Composite) -> Iterator[NamedCrop]:
    for patch_id in part.ids:
        patch = part.read(patch_id)
        fire = patch.label & ~patch.ignore
        if fire.any():
            yield patch_id, masked_crop(patch.bands, fire, composite)
