"""What one config adds, replicate by replicate: the fitted engine, painted patches, their screening, the overlay."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml

from firefusion_assets.artifacts.store import Artifact
from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.devices import device_count
from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.inpainting.beside.measured import Beside, measure
from firefusion_assets.inpainting.choice import JUDGED, choose
from firefusion_assets.inpainting.chunks import PaintJob
from firefusion_assets.inpainting.drawn_masks import form
from firefusion_assets.inpainting.overlay import add_accepted
from firefusion_assets.inpainting.painting import SyntheticPatches, paint
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.inpainting.verdicts import Verdicts
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import ADDED_REAL, OVERLAY, Replicate, read_folds, read_replicates
from firefusion_assets.patchstore import Patches, PatchWriter
from firefusion_assets.report.histograms import write_form_histograms
from firefusion_assets.report.sheets import composite_of
from firefusion_assets.steps.preflight import require_engine
from firefusion_assets.steps.real_network import real_network
from firefusion_assets.steps.samples import model_sheet, plan_sheet, synthetic_sheet
from firefusion_assets.steps.screening import screened
from firefusion_assets.study.engine import Launch, Run

FORMS: Final = "forms.png"
"""Histograms of what planned and real masks are like."""


def write_config(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Write the resolved config; an engine that can't be used here stops it.

    Raises:
        StudyError: naming file, key and remedy.
    """
    config = lineage.config(key)
    require_engine(config.generator, lineage.config_folder(key), key, progress)
    (work / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    return {"engine": config.generator.engine, "images": config.sampling.images}


def fit_model(
    lineage: Lineage, key: str, work: Path, progress: Callable[[str], None], launch: Launch | None = None
) -> Mapping[str, Any]:
    """Fit a config's engine on each fold's train part, into the fold's folder; return the means of its facts.

    With `replicates.refit` it is fitted for each replicate, with a seed and a folder of its own. What an earlier
    attempt finished is left as it is.
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
    if config.sampling.tries:  # a plan that can't be made stops here, before anything is fitted
        for fold in folds:
            choose(fold.train, fold.table, lineage.study.backgrounds, config.masks)
    facts = []
    for fold, folder, seeded in fits:
        finished = work / folder / "facts.json"
        if not finished.is_file():
            finished.parent.mkdir(parents=True, exist_ok=True)
            fitted = seeded.fit(fold.train, finished.parent, Run(progress, launch))
            write_atomically(finished, partial(Path.write_text, data=json.dumps(fitted)))
        facts.append(json.loads(finished.read_text()))
    sheet = model_sheet(generator, folds[0].train, work / fits[0][1], composite_of(lineage.study))
    if sheet is not None:
        sheet.save(work / "sheet.png")
    return {"engine": generator.engine, **{name: sum(each[name] for each in facts) / len(facts) for name in facts[0]}}


def plan_masks(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Write each replicate's plan, and a picture of the first one; return facts."""
    config, replicates = lineage.config(key), read_replicates(lineage, key)
    masks = config.masks
    shown: dict[int, Beside] = {}
    for fold in read_folds(lineage) if masks.beside and config.sampling.tries else ():
        shown[fold.number] = measure(fold.train, masks.beside)
    facts = [
        write_plan(
            replicate.fold.train,
            replicate.fold.table,
            lineage.study.backgrounds,
            masks,
            config.sampling,
            Draw(
                replicate.fold.number,
                replicate.number,
                derive_seed(config.sampling.seed, "replicate", replicate.drawn),
            ),
            work / replicate.folder,
            shown.get(replicate.fold.number),
        )
        for replicate in replicates
    ]
    if config.sampling.tries:
        first = replicates[0]
        plan_sheet(first.fold.train, work / first.folder, composite_of(lineage.study)).save(work / "sheet.png")
        _show_forms(lineage, key, first, work)
    found = [f"fold {fold}: {'; '.join(beside.words)}" for fold, beside in shown.items()]
    for line in found:
        progress(line)
    return {
        "kind": masks.kind,
        **({"beside": "; ".join(found)} if found else {}),
        **{name: sum(one[name] for one in facts) for name in facts[0]},
    }


def _show_forms(lineage: Lineage, key: str, replicate: Replicate, work: Path) -> None:
    """Draw what a replicate's masks are like beside the real ones that they are made from."""
    fold, masks = replicate.fold, lineage.config(key).masks
    planned = Plan.read(work / replicate.folder, fold.train.meta.patch_size).labels
    real = choose(fold.train, fold.table, lineage.study.backgrounds, masks).fires.values()
    if len(planned):
        drawn, of_real = (pd.DataFrame(map(form, some)) for some in (planned, (mask for mask, *_ in real)))
        write_form_histograms(drawn, of_real, work / FORMS)


def planned_backgrounds(masks: Artifact) -> pd.DataFrame | None:
    """Return what the first fold's plan says of the train part's patches; None where nothing is painted."""
    file = masks.path / "fold-0" / "replicate-0" / JUDGED
    return pd.read_parquet(file) if file.is_file() else None


def paint_config(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Paint each replicate of a config into its folder; return facts."""
    replicates, plans = read_replicates(lineage, key), lineage.find("inpainting_masks", key).path
    rows: dict[int, list[pd.DataFrame]] = {}
    for replicate in replicates:
        plan = pd.read_parquet(plans / replicate.folder / "plan.parquet")
        rows.setdefault(replicate.fold.number, []).append(plan)
    counts = [
        _paint_replicate(lineage, key, replicate, pd.concat(rows[replicate.fold.number]), screen, work, progress)
        for replicate, screen in screened(lineage, key, progress)
    ]
    if lineage.config(key).asks_network:  # trained here, where there is a GPU, and found by the screening
        for fold in read_folds(lineage):
            real_network(lineage, fold, progress)
    first = replicates[0]
    if len(synthetic := SyntheticPatches(work / first.folder)):
        plan = Plan.read(plans / first.folder, first.fold.train.meta.patch_size)
        synthetic_sheet(first.fold.train, plan, synthetic, composite_of(lineage.study)).save(work / "sheet.png")
    return {name: sum(count[name] for count in counts) for name in counts[0]}


def _paint_replicate(
    lineage: Lineage,
    key: str,
    replicate: Replicate,
    rows: pd.DataFrame,
    screen: Screen,
    work: Path,
    progress: Callable[[str], None],
) -> Mapping[str, Any]:
    """Paint one replicate; `rows` are those of all replicates of its fold."""
    config, fold = lineage.config(key), replicate.fold
    model = lineage.find("finetuned_model", key)
    folder = model.path / (replicate.folder if lineage.study.replicates.refit else fold.folder)
    plan = Plan.read(lineage.find("inpainting_masks", key).path / replicate.folder, fold.train.meta.patch_size)
    generator = config.generator.resolved(lineage.config_folder(key))
    depths = dict(zip(rows["row"], generator.bit_depths(folder, rows), strict=True))
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


def write_overlay(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Write the accepted patches of a config as an overlay store, and real ones that it adds; return facts."""
    replicates = read_replicates(lineage, key)
    painted = lineage.find("synthetic_images", key).path
    verdicts = lineage.find("screened_images", key)
    meta = replicates[0].fold.train.meta
    with PatchWriter(work / OVERLAY, meta) as writer:
        for replicate in replicates:
            fold, judged = replicate.fold, Verdicts.read(verdicts.path / replicate.folder, meta.patch_size)
            synthetic = SyntheticPatches(painted / replicate.folder)
            add_accepted(writer, synthetic, judged, fold.train, fold.number, replicate.number)
        held_back = 0
        for fold in read_folds(lineage):
            for patch_id, patch in lineage.config(key).generator.real_patches(fold.held_back, fold.table):
                writer.add_patch(f"{ADDED_REAL}{patch_id}", patch, fold.number)  # the same in every replicate
                held_back += lineage.study.replicates.count
    stores = (
        Patches(replicate.fold.base, [work / OVERLAY], replicate.fold.number, replicate.number)
        for replicate in replicates
    )
    added = sum(len(store.added_ids) for store in stores)
    return {"n_added": added, "n_accepted": verdicts.facts["n_images"], "n_held_back": held_back}
