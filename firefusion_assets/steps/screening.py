"""Screening what a config painted, and showing it: examples, histograms of scores, the gallery."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from firefusion_assets.core.fires import SIZES
from firefusion_assets.inpainting.nearest import cut_around
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.real_scores import real_limits, score_real_fires
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.inpainting.texture import TextureDistance, texture_distance
from firefusion_assets.inpainting.verdicts import SURPLUS, Verdicts, screen_painted
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, Replicate, read_replicates
from firefusion_assets.report.gallery import Painted, write_gallery
from firefusion_assets.report.histograms import limit_of, scores_of, write_score_histograms
from firefusion_assets.report.inputs import EXAMPLES, PaintedExample
from firefusion_assets.report.painted_examples import save_examples
from firefusion_assets.report.sheets import composite_of, painted_sheet
from firefusion_assets.study.augmentation import Augmentation

GALLERY: Final = "gallery.html"
"""The page of painted patches."""
SCORES: Final = "scores.png"
"""Histograms of the scores of painted patches and real fires."""
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
        counts.append(screen_painted(synthetic, plan, train, screen, images, config.generator, folder))
        first_limits = screen.limits if first_limits is None else first_limits
    size = first.fold.train.meta.patch_size
    look = _Look(
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
        screen = _screen(lineage.config(key), replicates[0].fold, progress)
        for replicate in replicates:
            yield replicate, screen


def _screen(config: Augmentation, fold: Fold, progress: Callable[[str], None]) -> Screen:
    limits: Mapping[str, float] = {}
    if config.sampling.images:
        sun, dilation = fold.table["sun_elevation"], config.masks.dilation
        limits = real_limits(
            config.screening, fold.train, sun, dilation, lambda line: progress(f"fold {fold.number}: {line}")
        )
    return Screen(config.screening, fold.train, limits)


class _Look(NamedTuple):
    """A replicate that was painted and judged."""

    fold: Fold
    synthetic: SyntheticPatches
    plan: Plan
    judged: Verdicts

    def example(self, number: int) -> PaintedExample:
        """Return one painted patch, cut to what was painted."""
        row, verdict = self.plan.rows.iloc[number], self.judged.rows.loc[number]
        top, left, side = (int(row[f"crop_{name}"]) for name in ("y", "x", "size"))
        crop = (slice(top, top + side), slice(left, left + side))
        nearest = None
        if verdict["nearest_patch"]:
            burning = self.fold.train.read(verdict["nearest_patch"])
            nearest = cut_around(burning, verdict["nearest_y"], verdict["nearest_x"], side)
        return PaintedExample(
            background=self.fold.train.read(row["background"]).bands[:, *crop],
            painted=self.synthetic.read(number)[:, *crop],
            mask=self.plan.labels[number][crop],
            label=self.judged.labels[number][crop],
            ignore=self.judged.ignored[number][crop],
            nearest=nearest,
            nearest_distance=float(verdict["nearest_distance"]),
            caption=f"{verdict['synthetic_id']}: {row['label_pixels']} px on {row['background']}{self._beside(number)}",
            accepted=bool(verdict["accepted"]),
            reason=str(verdict["reason"]),
        )

    def _beside(self, number: int) -> str:
        """Say what is painted beside a fire."""
        beside = self.plan.beside
        if beside is None:
            return ""
        planes = {"smoke": beside.plumes[number], "a scar": beside.scars[number]}
        return "".join(f", {name}" for name, plane in planes.items() if plane.any())


def _chosen(rows: pd.DataFrame) -> list[int]:
    """Return accepted patches, from small fires to large ones, and one or two rejected ones."""
    accepted = rows[rows["accepted"]].sort_values("label_pixels", kind="stable")
    rejected = rows[~rows["accepted"] & rows["changed_share"].notna()]
    rejected = rejected[rejected["reason"].str.startswith("only")]
    n_rejected = min(2, len(rejected))
    spread = accepted.index[:: max(1, len(accepted) // (EXAMPLES - n_rejected))][: EXAMPLES - n_rejected]
    return [*spread, *rejected.index[:n_rejected]]


def _show(
    lineage: Lineage, key: str, look: _Look, limits: Mapping[str, float] | None, work: Path
) -> Mapping[str, float]:
    """Write gallery, histograms and the scores of real fires; return how many of these would pass, and the distance."""
    config, rows = lineage.config(key), look.judged.rows
    sun, dilation = look.fold.table["sun_elevation"], config.masks.dilation
    real = score_real_fires(config.screening, look.fold.train, sun, dilation, limits)
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
    facts = passed
    if (distance := _texture_distance(look)) is not None:
        facts = {**passed, "texture_distance": distance.distance}
        words.append(
            f"Colour and texture of accepted fires are at a kernel distance of {distance.distance:.3g} "
            f"({distance.low:.3g} to {distance.high:.3g}) from those of real ones: within some units of 0 they are "
            "alike, at hundreds not at all. Copies are most alike, so this predicts no use."
        )
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


def _texture_distance(look: _Look) -> TextureDistance | None:
    """Compare the accepted patches of a replicate with the real fires of its train part."""
    rows, train = look.judged.rows, look.fold.train
    painted = ((look.synthetic.read(number), look.plan.labels[number]) for number in rows.index[rows["accepted"]])
    real = (train.read(patch_id) for patch_id in train.statistics.fire)
    return texture_distance(painted, ((patch.bands, patch.label & ~patch.ignore) for patch in real))
