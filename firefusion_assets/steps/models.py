"""Fitting a config's engine."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.core.workers import Progress
from firefusion_assets.inpainting.choice import choose
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, measure_first, read_folds, read_replicates
from firefusion_assets.lineage.pieces import Pieces, pieces_of, put_together
from firefusion_assets.report.sheets import composite_of
from firefusion_assets.steps.preflight import check_before_work
from firefusion_assets.steps.samples import model_sheet
from firefusion_assets.study.engine import Engine, Launch, Run


def model_pieces(lineage: Lineage, key: str, launch: Launch | None = None) -> Pieces:
    """Return a config's engine fitted on each fold's train part.

    With `replicates.refit` it is fitted for each replicate, with a seed of its own.
    """
    config, folds = lineage.config(key), read_folds(lineage)
    generator = config.generator.resolved(lineage.config_folder(key))
    fits = [(fold, fold.folder, generator) for fold in folds]
    if lineage.study.replicates.refit:
        seed = getattr(generator, "seed", 0)
        fits = [
            (replicate.fold, replicate.folder, generator.reseeded(derive_seed(seed, "replicate", replicate.drawn)))
            for replicate in read_replicates(lineage, key)
        ]
    measure_first(fold for fold, *_ in fits)

    def check(progress: Progress) -> None:
        check_before_work(lineage, key, True, progress)
        # A plan that can't be made stops here, before anything is fitted.
        for fold in folds if config.sampling.tries else ():
            choose(fold.train, fold.table, lineage.study.backgrounds, config.masks)

    def fit(fold: Fold, folder: str, seeded: Engine, work: Path, progress: Progress) -> dict[str, float]:
        finished = work / folder / "facts.json"
        if not finished.is_file():
            finished.parent.mkdir(parents=True, exist_ok=True)
            fitted = seeded.fit(fold.train, finished.parent, Run(progress, launch))
            write_atomically(finished, partial(Path.write_text, data=json.dumps(fitted)))
        if folder == fits[0][1]:
            sheet = model_sheet(generator, fold.train, finished.parent, composite_of(lineage.study))
            if sheet is not None:
                sheet.save(work / "sheet.png")
        facts: dict[str, float] = json.loads(finished.read_text())
        return facts

    makes = {folder: partial(fit, fold, folder, seeded) for fold, folder, seeded in fits}
    return Pieces(pieces_of(lineage, "finetuned_model", key, makes), check)


def fit_model(
    lineage: Lineage, key: str, work: Path, progress: Progress, launch: Launch | None = None
) -> dict[str, Any]:
    """Fit a config's engine on each fold's train part, into the fold's folder; return the means of its facts."""
    models = model_pieces(lineage, key, launch).build(progress)
    put_together(models, work)
    means = {name: sum(model.facts[name] for model in models) / len(models) for name in models[0].facts}
    return {"engine": lineage.config(key).generator.engine, **means}
