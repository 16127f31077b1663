"""Painting a config's plans."""

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from firefusion_assets.core.devices import device_count
from firefusion_assets.core.workers import Progress
from firefusion_assets.inpainting.chunks import PaintJob
from firefusion_assets.inpainting.painting import SyntheticPatches, paint
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Replicate, measure_first, read_replicates
from firefusion_assets.lineage.pieces import Pieces, pieces_of, put_together
from firefusion_assets.report.sheets import composite_of
from firefusion_assets.steps.preflight import check_before_work
from firefusion_assets.steps.real_network import real_network
from firefusion_assets.steps.samples import synthetic_sheet
from firefusion_assets.steps.screening import screen_of


def painted_pieces(lineage: Lineage, key: str) -> Pieces:
    """Return what a config paints: the patches of each replicate.

    How far a plan is painted depends on every patch's screening, so a replicate is the least that stands alone.
    """
    config, replicates = lineage.config(key), read_replicates(lineage, key)
    folds = {replicate.fold.number: replicate.fold for replicate in replicates}
    measure_first(folds.values())

    @lru_cache(maxsize=1)
    def screen(fold: int, progress: Progress) -> Screen:
        return screen_of(config, folds[fold], progress)

    def make(replicate: Replicate, work: Path, progress: Progress) -> Mapping[str, Any]:
        fold = replicate.fold
        facts = _paint_replicate(lineage, key, replicate, screen(fold.number, progress), work, progress)
        if config.asks_network:  # trained here, where there is a GPU, and found by the screening
            real_network(lineage, fold, progress)
        return facts

    makes = {replicate.folder: partial(make, replicate) for replicate in replicates}
    return Pieces(pieces_of(lineage, "synthetic_images", key, makes), partial(check_before_work, lineage, key, False))


def paint_config(lineage: Lineage, key: str, work: Path, progress: Progress) -> Mapping[str, Any]:
    """Paint each replicate of a config into its folder; return facts."""
    painted = painted_pieces(lineage, key).build(progress)
    put_together(painted, work)
    first = read_replicates(lineage, key)[0]
    if len(synthetic := SyntheticPatches(work / first.folder)):
        plans = lineage.find("inpainting_masks", key).path
        plan = Plan.read(plans / first.folder, first.fold.train.meta.patch_size)
        synthetic_sheet(first.fold.train, plan, synthetic, composite_of(lineage.study)).save(work / "sheet.png")
    return {name: sum(replicate.facts[name] for replicate in painted) for name in painted[0].facts}


def _paint_replicate(
    lineage: Lineage, key: str, replicate: Replicate, screen: Screen, work: Path, progress: Progress
) -> Mapping[str, Any]:
    config, fold = lineage.config(key), replicate.fold
    model, plans = lineage.find("finetuned_model", key), lineage.find("inpainting_masks", key).path
    folder = model.path / (replicate.folder if lineage.study.replicates.refit else fold.folder)
    # An engine is told of the rows of all replicates of the fold.
    numbers = range(lineage.study.replicates.count)
    rows = pd.concat(
        pd.read_parquet(plans / fold.folder / f"replicate-{number}" / "plan.parquet") for number in numbers
    )
    generator = config.generator.resolved(lineage.config_folder(key))
    depths = dict(zip(rows["row"], generator.bit_depths(folder, rows), strict=True))
    plan = Plan.read(plans / replicate.folder, fold.train.meta.patch_size)
    job = PaintJob(
        fold=fold.number,
        replicate=replicate.number,
        part=fold.train,
        table=fold.table,
        plan=plan,
        sampling=config.sampling,
        engine=generator.engine,
        model=f"{model.fingerprint}/{folder.relative_to(model.path)}",
        patches=lineage.fingerprint("landsat_patches", key),
        bit_depths=[depths[row] for row in plan.rows["row"]],
    )
    painter = partial(generator.load, folder, config.sampling, rows)
    return paint(job, painter, screen, lineage.store, work / replicate.folder, progress, shards=device_count())
