"""Intervals cover what they should, and nothing is claimed where there is nothing."""

import math

import numpy as np
import pytest
from scipy import stats

from firefusion_assets.report.statistics.intervals import (
    Counts,
    dice,
    difference_interval,
    effective_groups,
    false_alarm_interval,
)
from firefusion_assets.report.statistics.swap_test import holm, swap_test


def draw(rng: np.random.Generator, groups: int, replicates: int, gains: tuple[float, ...]) -> list[Counts]:
    """Counts of several configs over the same fires.

    Recall varies over groups, alike for all configs and not alike, over replicates (training and painted set), and over
    both; gains are in logits.
    """
    size = np.maximum(1, rng.lognormal(4, 1.2, groups)).astype(int)
    ground = rng.normal(1.5, 0.6, groups)
    drawn = []
    for gain in gains:
        of_group, of_replicate = rng.normal(0, 0.2, groups), rng.normal(0, 0.3, (replicates, 1))
        logit = ground + gain + of_group + of_replicate + rng.normal(0, 0.2, (replicates, groups))
        recall = 1 / (1 + np.exp(-logit))
        found = rng.binomial(size, recall)
        alarms = rng.poisson(0.8 * size * (1 - recall))
        drawn.append(np.stack([found, alarms, size - found], axis=-1))
    return drawn


def mean_difference(gain: float) -> float:
    """Of very many fires and replicates."""
    rng = np.random.default_rng(99)
    pairs = (draw(rng, 1500, 400, (0, gain)) for _ in range(30))
    return float(np.mean([(dice(more.sum(axis=1)) - dice(less.sum(axis=1))).mean() for less, more in pairs]))


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, 0.4])
def test_an_interval_covers_a_known_difference(gain: float) -> None:
    rng, truth = np.random.default_rng(1), mean_difference(gain) if gain else 0.0
    covered = 0
    for _ in range(1000):
        less, more = draw(rng, 20, 8, (0, gain))
        interval = difference_interval(more, less)
        covered += interval.low <= truth <= interval.high
    assert 930 <= covered <= 970


def share_claimed(rng: np.random.Generator, gain: float) -> tuple[int, int]:
    """Of 400 studies of three contrasts, of which the last has an effect: those that claim anything, and claim that."""
    any_claim = claimed = 0
    for _ in range(400):
        baseline, *others = draw(rng, 20, 8, (0, 0, 0, gain))
        intervals = [difference_interval(other, baseline) for other in others]
        adjusted = holm([swap_test(dice(other.sum(axis=1)) - dice(baseline.sum(axis=1))) for other in others])
        found = [p < 0.05 and not one.low <= 0 <= one.high for p, one in zip(adjusted, intervals, strict=True)]
        any_claim += any(found)
        claimed += found[-1]
    return any_claim, claimed


@pytest.mark.slow
def test_without_any_effect_hardly_anything_is_claimed() -> None:
    any_claim, _ = share_claimed(np.random.default_rng(2), 0)
    assert any_claim <= 31


@pytest.mark.slow
def test_power() -> None:
    """An effect of two standard errors is seen in 41 % of the studies, a strong one in 94 %.

    A z-test that knew the standard error would see the former in 52 %, or in 35 % as one of three by Bonferroni.
    """
    rng = np.random.default_rng(4)
    studies = [draw(rng, 20, 8, (0, TWO_STANDARD_ERRORS)) for _ in range(400)]
    effects = [(dice(more.sum(axis=1)) - dice(less.sum(axis=1))).mean() for less, more in studies]
    assert np.mean(effects) / np.std(effects) == pytest.approx(2, abs=0.2)
    _, seen = share_claimed(np.random.default_rng(2), TWO_STANDARD_ERRORS)
    assert 100 <= seen <= 200
    _, seen = share_claimed(np.random.default_rng(2), 0.9)
    assert seen >= 320


TWO_STANDARD_ERRORS = 0.44
"""A gain, in logits, whose mean difference is two standard errors of a study of 20 groups and 8 replicates."""


def test_the_same_config_twice_has_no_difference() -> None:
    counts, _ = draw(np.random.default_rng(3), 12, 6, (0, 0))
    assert difference_interval(counts, counts) == (0, 0)


def test_one_group_says_nothing_of_other_places() -> None:
    less, more = draw(np.random.default_rng(3), 1, 6, (0, 1))
    assert difference_interval(more, less) == (-math.inf, math.inf)


def test_dice_of_counts() -> None:
    np.testing.assert_allclose(dice(np.array([[3, 1, 1], [0, 0, 5], [0, 0, 0]])), [0.75, 0, math.nan])


def test_groups_count_by_how_evenly_the_fire_is_spread() -> None:
    assert effective_groups(np.array([5, 5, 5, 5])) == 4
    assert effective_groups(np.array([100, 0, 0])) == 1
    assert effective_groups(np.array([30, 10])) == pytest.approx(40**2 / 1000)
    assert effective_groups(np.array([], int)) == 0


@pytest.mark.parametrize(("pixels", "area"), [(0, 100.0), (1, 100.0), (17, 2500.0)])
def test_false_alarms_have_garwoods_interval(pixels: int, area: float) -> None:
    """Of the lowest rate so many or more are seen in 2.5 % of cases, of the highest so few or fewer."""
    low, high = false_alarm_interval(pixels, area)
    if pixels:
        assert stats.poisson.sf(pixels - 1, low * area / 1000) == pytest.approx(0.025)
    else:
        assert low == 0
    assert stats.poisson.cdf(pixels, high * area / 1000) == pytest.approx(0.025)
