"""The swap test is brute force, Holm's steps are his, and what can't be decided is known beforehand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firefusion_assets.report.statistics.swap_test import holm, replicates_needed, smallest_p, swap_test

DIFFERENCES = st.lists(st.integers(-50, 50).map(lambda value: value / 1000), min_size=0, max_size=10)


def by_brute_force(differences: list[float]) -> float:
    """In thousandths, so that sums are exact."""
    whole = [round(1000 * value) for value in differences]
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, whole, strict=True)))
        for signs in product((1, -1), repeat=len(whole))
    ]
    return sum(value >= abs(sum(whole)) for value in sums) / len(sums)


@settings(max_examples=150)
@given(differences=DIFFERENCES)
def test_the_test_is_brute_force(differences: list[float]) -> None:
    assert swap_test(np.array(differences)) == pytest.approx(by_brute_force(differences), abs=1e-12)


def test_pairs_that_all_go_one_way_are_as_sure_as_can_be() -> None:
    assert swap_test(np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.4])) == 2 / 64
    assert swap_test(np.zeros(8)) == 1


def test_many_pairs_are_swapped_at_random_and_come_close() -> None:
    """Of differences in whole units the sums' distribution is known by counting."""
    differences = np.array([1.0] * 12 + [-1.0] * 6)
    ways = np.array([1])
    for _ in range(18):
        ways = np.convolve(ways, [1, 1])
    sums = 2 * np.arange(19) - 18
    exact = ways[np.abs(sums) >= 6].sum() / 2**18
    assert swap_test(differences) == pytest.approx(exact, abs=0.005)
    assert swap_test(np.full(40, 0.3)) == pytest.approx(1 / 100_001)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([], []),
        ([0.02], [0.02]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.04, 0.001, 0.9, 0.02], [0.08, 0.004, 0.9, 0.06]),
        ([0.5, 0.6], [1.0, 1.0]),
    ],
)
def test_holm_multiplies_the_smallest_by_all_and_so_on(p: list[float], adjusted: list[float]) -> None:
    assert holm(p) == pytest.approx(adjusted)


@pytest.mark.parametrize(("contrasts", "needed"), [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (7, 9), (12, 9), (13, 10)])
def test_replicates_that_contrasts_need(contrasts: int, needed: int) -> None:
    assert replicates_needed(contrasts) == needed
    assert 2 / 2**needed < 0.05 / contrasts <= 2 / 2 ** (needed - 1)


@pytest.mark.parametrize(("replicates", "contrasts"), [(1, 1), (6, 1), (8, 6), (12, 3), (20, 2)])
def test_no_p_is_below_the_smallest(replicates: int, contrasts: int) -> None:
    all_alike = swap_test(np.ones(replicates))
    assert holm([all_alike, *[1.0] * (contrasts - 1)])[0] == pytest.approx(smallest_p(replicates, contrasts))
