"""What one config adds, fold by fold: the fitted engine, painted patches, their screening, the overlay."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.devices import device_count
from firefusion_assets.inpainting.chunks import PaintJob
from firefusion_assets.inpainting.nearest import cut_around
from firefusion_assets.inpainting.overlay import add_accepted
from firefusion_assets.inpainting.painting import SyntheticPatches, paint
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.inpainting.verdicts import Verdicts, screen_fold
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold
from firefusion_assets.patchstore import Patches, PatchWriter
from firefusion_assets.report.inputs import EXAMPLES, PaintedExample
from firefusion_assets.report.painted_examples import save_examples
from firefusion_assets.report.sheets import painted_sheet
from firefusion_assets.study.engine import Engine, Run

OVERLAY = "overlay.lmdb"


def fit_folds(
    generator: Engine,
    folds: Sequence[Fold],
    work: Path,
    run: Run,
) -> Mapping[str, float]:
    """Fit an engine on each fold's train part, into its folder below `work`; return the facts' means.

    A fold that an earlier attempt finished is left as it is.
    """
    facts = []
    for fold in folds:
        finished = work / fold.folder / "facts.json"
        if not finished.is_file():
            finished.parent.mkdir(parents=True, exist_ok=True)
            fitted = generator.fit(fold.train, finished.parent, run)
            write_atomically(finished, partial(Path.write_text, data=json.dumps(fitted)))
        facts.append(json.loads(finished.read_text()))
    return {name: sum(each[name] for each in facts) / len(facts) for name in facts[0]}


def paint_fold(
    lineage: Lineage, key: str, fold: Fold, work: Path, progress: Callable[[str], None]
) -> Mapping[str, Any]:
    """Paint one fold of a config into its folder below `work`; return facts."""
    config = lineage.config(key)
    model = lineage.find("finetuned_model", key)
    plan = Plan.read(lineage.find("inpainting_masks", key).path / fold.folder, fold.train.meta.patch_size)
    generator = config.generator.resolved(lineage.folder)
    job = PaintJob(
        fold=fold.number,
        part=fold.train,
        table=fold.table,
        plan=plan,
        sampling=config.sampling,
        engine=generator.engine,
        model=model.fingerprint,
        patches=lineage.fingerprint("landsat_patches", key),
        bit_depths=generator.bit_depths(model.path / fold.folder, plan.rows),
    )
    painter = partial(generator.load, model.path / fold.folder, config.sampling, plan.rows)
    screen = Screen(config.screening, fold.train)
    return paint(job, painter, screen, lineage.store, work / fold.folder, progress, shards=device_count())


def screen_folds(lineage: Lineage, key: str, folds: Sequence[Fold], work: Path) -> Mapping[str, Any]:
    """Screen what a config painted, and keep examples for pictures; return facts."""
    config = lineage.config(key)
    painted = lineage.find("synthetic_images", key).path
    plans = lineage.find("inpainting_masks", key).path
    counts = []
    for fold in folds:
        synthetic = SyntheticPatches(painted / fold.folder)
        plan = Plan.read(plans / fold.folder, fold.train.meta.patch_size)
        screen = Screen(config.screening, fold.train)
        counts.append(screen_fold(synthetic, plan, fold.train, screen, config.sampling.images, work / fold.folder))
    first = folds[0]
    examples = _examples(first, painted / first.folder, plans / first.folder, work / first.folder)
    save_examples(examples, work / "examples.npz")
    if examples:
        painted_sheet(examples, first.train.meta.bands).save(work / "sheet.png")
    total = {name: sum(count[name] for count in counts) for name in counts[0]}
    changed, detected = total.pop("changed_share_sum"), total.pop("detected_share_sum")
    passed, tried = total.pop("n_passed"), total["tried"]
    if not tried:
        return total
    shares = {"accepted_share": passed / tried, "label_changed_share": changed / tried}
    if config.screening.detectors:
        shares["label_detected_share"] = detected / tried
    return {**total, **shares}


def write_overlay(lineage: Lineage, key: str, folds: Sequence[Fold], work: Path) -> Mapping[str, Any]:
    """Write the accepted patches of a config as an overlay store; return facts."""
    painted = lineage.find("synthetic_images", key).path
    verdicts = lineage.find("screened_images", key)
    meta = folds[0].train.meta
    with PatchWriter(work / OVERLAY, meta) as writer:
        for fold in folds:
            judged = Verdicts.read(verdicts.path / fold.folder, meta.patch_size)
            add_accepted(writer, SyntheticPatches(painted / fold.folder), judged, fold.train, fold.number)
    added = sum(len(Patches(fold.base, [work / OVERLAY], fold.number).added_ids) for fold in folds)
    return {"n_added": added, "n_accepted": verdicts.facts["n_images"]}


def _examples(fold: Fold, painted: Path, plans: Path, verdicts: Path) -> list[PaintedExample]:
    """Return accepted patches, from small fires to large ones, and one or two rejected ones."""
    synthetic = SyntheticPatches(painted)
    size = fold.train.meta.patch_size
    plan, judged = Plan.read(plans, size), Verdicts.read(verdicts, size)
    accepted = judged.rows[judged.rows["accepted"]].sort_values("label_pixels", kind="stable")
    rejected = judged.rows[~judged.rows["accepted"] & judged.rows["changed_share"].notna()]
    rejected = rejected[rejected["reason"].str.startswith("only")]
    n_rejected = min(2, len(rejected))
    spread = accepted.index[:: max(1, len(accepted) // (EXAMPLES - n_rejected))][: EXAMPLES - n_rejected]
    return [_example(fold, synthetic, plan, judged, number) for number in [*spread, *rejected.index[:n_rejected]]]


def _example(fold: Fold, synthetic: SyntheticPatches, plan: Plan, judged: Verdicts, number: int) -> PaintedExample:
    row, verdict = plan.rows.iloc[number], judged.rows.loc[number]
    top, left, side = (int(row[f"crop_{name}"]) for name in ("y", "x", "size"))
    crop = (slice(top, top + side), slice(left, left + side))
    nearest = None
    if verdict["nearest_patch"]:
        burning = fold.train.read(verdict["nearest_patch"])
        nearest = cut_around(burning, verdict["nearest_y"], verdict["nearest_x"], side)
    return PaintedExample(
        background=fold.train.read(row["background"]).bands[:, *crop],
        painted=synthetic.read(number)[:, *crop],
        mask=plan.labels[number][crop],
        label=judged.labels[number][crop],
        ignore=judged.ignored[number][crop],
        nearest=nearest,
        nearest_distance=float(verdict["nearest_distance"]),
        caption=f"{verdict['synthetic_id']}: {row['label_pixels']} px on {row['background']}",
        accepted=bool(verdict["accepted"]),
        reason=str(verdict["reason"]),
    )
