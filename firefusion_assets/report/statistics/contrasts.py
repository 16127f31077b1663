"""Contrasts: pairs of configs that are compared, and what may be claimed of each.

A claim needs both: an interval without 0, which asks for other places, and an adjusted p below 0.05, which asks for
other replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.report.inputs import ConfigResult, DetectorResult, ReportInputs
from firefusion_assets.report.statistics.intervals import (
    Counts,
    Interval,
    dice,
    difference_interval,
    effective_groups,
)
from firefusion_assets.report.statistics.swap_test import LEVEL, holm, replicates_needed, swap_test
from firefusion_assets.study.models import FEW_GROUPS

Verdict = Literal["better", "worse", "no claim", "not decidable"]


@dataclass(frozen=True)
class Contrast:
    """One config against another.

    Attributes:
        key: of the config.
        other: key of what it is compared with.
        replicates: pairs.
        difference: mean difference of Dice, over all pixels of each replicate.
        interval: of the difference, at 95 %.
        p: of the swap test, adjusted for the number of contrasts.
        verdict: what may be claimed.
        needed: replicates that so many contrasts need.
        groups: groups of the evaluated part with fire.
        effective_groups: how many of equal size would decide as much.
    """

    key: str
    other: str
    replicates: int
    difference: float
    interval: Interval
    p: float
    verdict: Verdict
    needed: int
    groups: int
    effective_groups: float

    @property
    def reliable(self) -> bool:
        """Whether there are enough groups for the interval to be what it says."""
        return self.groups >= FEW_GROUPS


def replicate_counts(rows: pd.DataFrame) -> tuple[list[int], list[str], Counts]:
    """Return replicates, groups, and their counts int64 (u, G, 3), of the rows of patches of all folds."""
    sums = rows.groupby(["replicate", "group"])[["tp", "fp", "fn"]].sum()
    replicates, groups = (sorted(rows[name].unique().tolist()) for name in ("replicate", "group"))
    full = sums.reindex(pd.MultiIndex.from_product([replicates, groups]), fill_value=0)
    return replicates, groups, full.to_numpy(np.int64).reshape(len(replicates), len(groups), 3)


def replicate_dice(result: ConfigResult | DetectorResult) -> pd.Series:
    """Return the Dice of each replicate over all pixels of all folds, indexed by replicate; missing if not defined."""
    if result.patches.empty:
        return pd.Series(dtype=float)
    replicates, _, counts = replicate_counts(result.patches)
    return pd.Series(dice(counts.sum(axis=1)), replicates)


def named_contrasts(inputs: ReportInputs) -> list[tuple[str, str]]:
    """Return the contrasts that the study names, or by default each config against the baseline.

    A generator is compared with the configs that copy real fires too, and that first: controls that are known to win
    or lose are not.
    """
    if inputs.study.report.contrasts is not None:
        return list(inputs.study.report.contrasts)
    baseline = inputs.study.report.baseline
    configs = [config for config in inputs.ordered_configs if config.key != baseline]
    copying = [config.key for config in configs if config.copies and not config.expected]
    generators = [config.key for config in configs if config.paints and not config.copies and not config.expected]
    return [(key, other) for key in generators for other in copying] + [(config.key, baseline) for config in configs]


def contrasts(inputs: ReportInputs) -> list[Contrast]:
    """Return what may be claimed of each contrast of which both configs are current.

    Contrasts that can't be computed yet count among those that share the level all the same: they were named.
    """
    current = {config.key: config for config in inputs.configs if config.status == "current" and len(config.patches)}
    named = named_contrasts(inputs)
    found = [(current[key], current[other]) for key, other in named if key in current and other in current]
    pairs = [_paired(config, other) for config, other in found]
    tested = [swap_test(pair.differences) for pair in pairs]
    adjusted = holm([*tested, *[1.0] * (len(named) - len(tested))])
    return [_contrast(pair, p, len(named)) for pair, p in zip(pairs, adjusted, strict=False)]


@dataclass(frozen=True)
class _Pair:
    key: str
    other: str
    first: Counts
    second: Counts
    differences: npt.NDArray[np.float64]


def _paired(config: ConfigResult, other: ConfigResult) -> _Pair:
    (ones, groups, first), (others, other_groups, second) = (
        replicate_counts(result.patches) for result in (config, other)
    )
    both, in_both = sorted({*ones} & {*others}), sorted({*groups} & {*other_groups})
    first = _chosen(first, ones, groups, both, in_both)
    second = _chosen(second, others, other_groups, both, in_both)
    differences = dice(first.sum(axis=1)) - dice(second.sum(axis=1))
    known = np.isfinite(differences)
    return _Pair(config.key, other.key, first[known], second[known], differences[known])


def _chosen(
    counts: Counts, replicates: Sequence[int], groups: Sequence[str], kept: Sequence[int], kept_groups: Sequence[str]
) -> Counts:
    rows, columns = [replicates.index(one) for one in kept], [groups.index(one) for one in kept_groups]
    return counts[np.ix_(rows, columns)]


def _contrast(pair: _Pair, p: float, named: int) -> Contrast:
    u, needed = len(pair.differences), replicates_needed(named)
    burning = pair.first[:1, :, 0] + pair.first[:1, :, 2] if u else np.zeros((1, 0), np.int64)
    mean, interval = float("nan"), Interval(float("nan"), float("nan"))
    if u:
        mean, interval = float(pair.differences.mean()), difference_interval(pair.first, pair.second)
    verdict: Verdict = "no claim"
    if u < needed:
        verdict = "not decidable"
    elif p < LEVEL and interval.low > 0:
        verdict = "better"
    elif p < LEVEL and interval.high < 0:
        verdict = "worse"
    groups = int((burning > 0).sum())
    return Contrast(
        pair.key, pair.other, u, mean, interval, p, verdict, needed, groups, effective_groups(burning.ravel())
    )
