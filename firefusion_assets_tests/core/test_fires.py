"""Fires by their definition: pixels that touch, or lie close enough."""

import numpy as np
import pytest

from firefusion_assets.core.fires import numbered_fires


def test_touching_pixels_are_one_fire() -> None:
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], np.bool_)
    assert numbered_fires(mask).tolist() == [[1, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 2]]
    assert numbered_fires(mask, connectivity=4).tolist() == [[1, 0, 0, 0], [0, 2, 0, 3], [0, 0, 0, 3]]
    assert not numbered_fires(np.zeros((3, 4), np.bool_)).any()


@pytest.mark.parametrize(("gap", "n_fires"), [(0, 1), (3, 1), (4, 1), (5, 2)])
def test_fragments_up_to_a_distance_apart_are_one_fire(gap: int, n_fires: int) -> None:
    mask = np.zeros((5, 12), np.bool_)
    mask[2, 1] = mask[2, 2 + gap] = True
    numbers = numbered_fires(mask, joined_within=4)
    assert numbers.max() == n_fires
    assert ((numbers > 0) == mask).all()
