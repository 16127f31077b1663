"""Statistics over windows against one window at a time."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.landsat.window_statistics import FixedPoint, Windows, integral_image, with_neighbours

Field = npt.NDArray[np.float64]


def statistics(field: Field, usable: npt.NDArray[np.bool_], half: int) -> tuple[npt.NDArray[np.int64], Field, Field]:
    """Number, means and deviations around every pixel, row by row."""
    y, x = (indices.ravel() for indices in np.indices(field.shape))
    windows = Windows.around(y, x, half, field.shape)
    count = windows.sums(integral_image(usable))
    return count, *FixedPoint(field).statistics(usable, count, windows)


def plainly(field: Field, usable: npt.NDArray[np.bool_], half: int) -> npt.NDArray[np.float64]:
    """The same from the pixels of each window: float (3, N)."""
    height, width = field.shape
    rows = []
    for y in range(height):
        for x in range(width):
            place = np.s_[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
            values = field[place][usable[place]]
            rows.append((values.size, values.mean(), values.std()) if values.size else (0, np.nan, np.nan))
    return np.array(rows).T


@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 25), st.integers(2, 30), st.floats(0, 1))
def test_statistics_are_those_of_each_window(seed: int, height: int, width: int, half: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    field = rng.normal(0.3, rng.choice([1e-3, 0.1, 20]), (height, width))
    usable = rng.random(field.shape) < share
    field[~usable] = rng.choice([np.nan, np.inf, -1e9, 7.0])  # whatever can't be used
    count, mean, deviation = statistics(field, usable, half)
    wanted = plainly(field, usable, half)
    assert (count == wanted[0]).all()
    np.testing.assert_allclose(mean, wanted[1], rtol=0, atol=1e-11)
    np.testing.assert_allclose(deviation**2, wanted[2] ** 2, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("value", [3e5, -7e12, np.inf, -np.inf])
def test_a_value_out_of_all_proportion_spoils_its_own_windows_only(value: float) -> None:
    field = np.random.default_rng(1).normal(1, 0.2, (20, 30))
    field[4, 5] = value
    usable = np.ones(field.shape, np.bool_)
    _, mean, deviation = statistics(field, usable, 2)
    with np.errstate(invalid="ignore"):
        _, wanted_mean, wanted_deviation = plainly(field, usable, 2)
    np.testing.assert_allclose(mean, wanted_mean, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(deviation, wanted_deviation, rtol=1e-12, atol=1e-8)
    far = (np.abs(np.indices(field.shape) - np.array([4, 5])[:, None, None]).max(0) > 2).ravel()
    assert (np.abs(mean[far] - 1) < 0.5).all()


def test_the_largest_window_of_the_largest_values_doesnt_overflow() -> None:
    field = np.full((200, 61), 1024.0)
    field[::2] *= -1
    _, mean, deviation = statistics(field, np.ones(field.shape, np.bool_), 30)
    middle = np.s_[100 * 61 + 30]
    assert abs(mean[middle]) == pytest.approx(1024 / 61)
    assert deviation[middle] == pytest.approx(1024 * np.sqrt(1 - 1 / 61**2))


def test_neighbours_are_taken_in_all_eight_directions_and_not_around_the_border() -> None:
    mask = np.zeros((5, 6), np.bool_)
    mask[0, 0] = mask[3, 4] = True
    wanted = np.array(
        [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    )
    assert (with_neighbours(mask) == wanted).all()
