"""The plan of a config as PNG, to be painted on elsewhere."""

from pathlib import Path

from firefusion_assets.inpainting.handout import hand_out
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.lineage.folds import read_fold, read_replicates
from firefusion_assets.lineage.remedies import run_command


def hand_out_plan(lineage: Lineage, key: str, folder: Path, number: int = 0, size: int | None = None) -> int:
    """Write the backgrounds and masks of a config's plans, those of all replicates; return how many pairs they are.

    Args:
        lineage: of the study.
        key: of the config.
        folder: see `inpainting.handout.hand_out`.
        number: of the fold.
        size: height and width of the PNG in px; by default the patch size.

    Raises:
        MissingUpstreamError: if the plan was not made.
        RequestError: if there is no such fold, or for what `hand_out` refuses.
    """
    generator = lineage.config(key).generator
    try:
        plans = lineage.find("inpainting_masks", key).path
    except MissingUpstreamError:
        command = run_command(key, to="inpainting_masks")
        raise MissingUpstreamError(
            f"the plan of {key!r} has not been made from today's settings and data; make it: {command}"
        ) from None
    fold = read_fold(lineage, number)
    patch_size = fold.train.meta.patch_size
    folders = [plans / one.folder for one in read_replicates(lineage, key) if one.fold.number == number]
    plan = Plan.joined([Plan.read(folder, patch_size) for folder in folders])
    hand_out(plan, fold.train, generator.shown_bands(), patch_size if size is None else size, folder)
    return len(plan.rows)
