"""Screening what a config painted, and showing it: examples, histograms of scores, the gallery."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from firefusion_assets.core.fires import SIZES
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.real_scores import real_limits, score_real_fires
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.inpainting.verdicts import SURPLUS, Verdicts, screen_painted
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, Replicate, read_replicates
from firefusion_assets.report.gallery import Painted, write_gallery
from firefusion_assets.report.histograms import limit_of, scores_of, write_score_histograms
from firefusion_assets.report.inputs import EXAMPLES
from firefusion_assets.report.painted_examples import save_examples
from firefusion_assets.report.sheets import composite_of, painted_sheet
from firefusion_assets.steps.look import Look
from firefusion_assets.steps.real_network import pixel_loss, real_network
from firefusion_assets.study.augmentation import Augmentation

GALLERY: Final = "gallery.html"
"""The page of painted patches."""
SCORES: Final = "scores.png"
"""Histograms of the scores of painted patches and real fires."""
_TOLD: Final = {
    "outside": "A small classifier tells the ground around accepted paint from the same ground before with an AUC of "
    "{}: 0.5 is chance, and more means that painting left traces there.",
    "inside": "Inside the edit masks it tells paint from real fires with an AUC of {}; its score is above 0 for what "
    "is like paint, and rejects nothing.",
}
"""What the AUC of a fingerprint says, by where it is looked for."""
_SHOWN: Final = 120
"""Patches of a gallery, so that its page still opens."""


def screen_config(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Screen what a config painted, and show the first replicate's verdicts in pictures; return facts."""
    config, first = lineage.config(key), read_replicates(lineage, key)[0]
    painted = lineage.find("synthetic_images", key).path
    plans = lineage.find("inpainting_masks", key).path
    counts, first_limits = [], None
    for replicate, screen in screened(lineage, key, progress):
        synthetic, train = SyntheticPatches(painted / replicate.folder), replicate.fold.train
        plan = Plan.read(plans / replicate.folder, train.meta.patch_size)
        images, folder = config.sampling.images, work / replicate.folder
        loss = None
        if config.asks_network:
            loss = pixel_loss(real_network(lineage, replicate.fold, progress), train.meta.bands)
        counts.append(screen_painted(synthetic, plan, train, screen, images, config.generator, folder, loss))
        first_limits = screen.limits if first_limits is None else first_limits
    size = first.fold.train.meta.patch_size
    look = Look(
        first.fold,
        SyntheticPatches(painted / first.folder),
        Plan.read(plans / first.folder, size),
        Verdicts.read(work / first.folder, size),
    )
    examples = [look.example(number) for number in _chosen(look.judged.rows)]
    save_examples(examples, work / "examples.npz")
    real_shares: Mapping[str, float] = {}
    if examples:
        painted_sheet(examples, composite_of(lineage.study)).save(work / "sheet.png")
        real_shares = _show(lineage, key, look, first_limits, work)
    total = {name: sum(count[name] for count in counts) for name in counts[0]}
    changed, detected = total.pop("changed_share_sum"), total.pop("detected_share_sum")
    passed, tried = total.pop("n_passed"), total["tried"]
    sizes = {name: (total.pop(f"passed_{name}_px"), total.pop(f"tried_{name}_px")) for name in SIZES}
    if not tried:
        return total
    shares = {"accepted_share": passed / tried, "label_changed_share": changed / tried}
    shares |= {f"accepted_{name}_px_share": some / of for name, (some, of) in sizes.items() if of}
    if config.screening.detectors:
        shares["label_detected_share"] = detected / tried
    return {**total, **shares, **real_shares}


def screened(lineage: Lineage, key: str, progress: Callable[[str], None]) -> Iterator[tuple[Replicate, Screen]]:
    """Yield the replicates of a config, fold by fold, with the screen of the fold's train part."""
    for _, same in groupby(read_replicates(lineage, key), lambda replicate: replicate.fold.number):
        replicates = list(same)
        screen = screen_of(lineage.config(key), replicates[0].fold, progress)
        for replicate in replicates:
            yield replicate, screen


def screen_of(config: Augmentation, fold: Fold, progress: Callable[[str], None]) -> Screen:
    """Return a config's screen of a fold's train part."""
    limits: Mapping[str, float] = {}
    if config.sampling.images:
        sun, dilation = fold.table["sun_elevation"], config.masks.dilation
        limits = real_limits(
            config.screening, fold.train, sun, dilation, lambda line: progress(f"fold {fold.number}: {line}")
        )
    return Screen(config.screening, fold.train, limits)


def _chosen(rows: pd.DataFrame) -> list[int]:
    """Return accepted patches, from small fires to large ones, and one or two rejected ones."""
    accepted = rows[rows["accepted"]].sort_values("label_pixels", kind="stable")
    rejected = rows[~rows["accepted"] & rows["changed_share"].notna()]
    rejected = rejected[rejected["reason"].str.startswith("only")]
    n_rejected = min(2, len(rejected))
    spread = accepted.index[:: max(1, len(accepted) // (EXAMPLES - n_rejected))][: EXAMPLES - n_rejected]
    return [*spread, *rejected.index[:n_rejected]]


def _show(
    lineage: Lineage, key: str, look: Look, limits: Mapping[str, float] | None, work: Path
) -> Mapping[str, float]:
    """Write gallery, histograms and the scores of real fires; return how many of these would pass, and the distance."""
    config, rows = lineage.config(key), look.judged.rows
    sun, dilation = look.fold.table["sun_elevation"], config.masks.dilation
    real = score_real_fires(config.screening, look.fold.train, sun, dilation, limits)
    told = look.fingerprints(dilation)
    if (inside := told.get("inside")) is not None:
        rows = rows.assign(fingerprint_score=pd.Series(inside.painted, look.accepted()))
        of_real = dict(zip(look.fold.train.statistics.fire, inside.real, strict=True))
        real = real.assign(fingerprint_score=real["patch_id"].map(of_real))
    real.to_parquet(work / "real_scores.parquet", index=False)
    passed_rows = rows["reason"].isin(["", SURPLUS])
    drawn = write_score_histograms(rows.assign(passed=passed_rows), real, work / SCORES)
    shown = rows.index[:: -(-len(rows) // _SHOWN)]
    scores = scores_of(rows)
    patches = (Painted(look.example(number), rows.loc[number, scores].astype(float).to_dict()) for number in shown)
    surplus = int((rows["reason"] == SURPLUS).sum())
    rejected = len(rows) - surplus - int(rows["accepted"].sum())
    words = [
        f"{len(shown)} of the {len(rows)} patches that were painted for the first replicate of fold 0. Of all, "
        f"{rows['accepted'].sum()} were accepted, {rejected} rejected, and {surplus} passed but weren't needed."
    ]
    passed = {} if real.empty else {"real_accepted_share": float(real["accepted"].mean())}
    if passed:
        words.append(
            f"Of the train part's {len(real)} patches with real fires, each judged by what the others teach, "
            f"{passed['real_accepted_share']:.0%} would be accepted."
        )
    else:
        words.append("The train part has too few burning patches to judge real fires by others.")
    facts: dict[str, float] = {**passed}
    if (distance := look.texture_distance()) is not None:
        facts["texture_distance"] = distance.distance
        words.append(
            f"Colour and texture of accepted fires are at a kernel distance of {distance.distance:.3g} "
            f"({distance.low:.3g} to {distance.high:.3g}) from those of real ones: within some units of 0 they are "
            "alike, at hundreds not at all. Copies are most alike, so this predicts no use."
        )
    for where, one in told.items():
        facts |= {f"fingerprint_{where}": one.auc, f"fingerprint_{where}_low": one.low}
        words.append(_TOLD[where].format(f"{one.auc:.2f} ({one.low:.2f} to {one.high:.2f})"))
    write_gallery(
        f"{lineage.study.name}: what {key} painted",
        patches,
        composite_of(lineage.study),
        work / SCORES if drawn else None,
        {name: limit for name in scores if not np.isnan(limit := limit_of(rows, name))},
        " ".join(words),
        work / GALLERY,
    )
    return facts
