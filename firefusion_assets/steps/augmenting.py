"""What one config adds, replicate by replicate: the fitted engine, painted patches, their screening, the overlay."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.inpainting.beside.measured import Beside, measure
from firefusion_assets.inpainting.choice import JUDGED, choose
from firefusion_assets.inpainting.drawn_masks import form
from firefusion_assets.inpainting.overlay import add_accepted
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.inpainting.verdicts import Verdicts
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import ADDED_REAL, OVERLAY, Replicate, read_folds, read_replicates
from firefusion_assets.patchstore import Patches, PatchWriter
from firefusion_assets.report.histograms import write_form_histograms
from firefusion_assets.report.sheets import composite_of
from firefusion_assets.steps.preflight import require_engine
from firefusion_assets.steps.samples import plan_sheet

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
