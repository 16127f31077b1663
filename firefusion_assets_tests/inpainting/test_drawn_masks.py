"""Masks that are drawn: as large as a real one, in its box, the same for a seed; `matched` ones are like real ones."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes, label
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.stats import ks_2samp

from firefusion_assets.core.cropping import trimmed
from firefusion_assets.inpainting.drawn_masks import MatchedMasks, PerlinMasks, RandomMasks, SpreadMasks, _spread, form
from firefusion_assets.study.masks import Masks
from firefusion_assets.study.registry import known
from firefusion_assets_tests.builders.real_data import REAL_DATA

SIZE = 48
DRAWN: dict[str, dict[str, Any]] = {
    "random": {}, "dilated": {}, "perlin": {}, "spread": {}, "matched": {"of": {"kind": "perlin"}, "candidates": 3},
}  # fmt: skip
BOLD = np.ones((3, 3), bool)
"""The 8-connected structure."""


def masks(kind: str, **given_: Any) -> Masks:
    return known(Masks)[kind].model_validate({"kind": kind, **DRAWN[kind], **given_})


def mask_of(pixels: list[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), bool)
    for y, x in pixels:
        mask[y : y + 2, x] = True
    return trimmed(mask)[0]


@pytest.mark.parametrize("kind", DRAWN)
@settings(max_examples=25)
@given(
    pixels=st.lists(st.tuples(st.integers(0, SIZE - 2), st.integers(0, SIZE - 1)), min_size=1, max_size=60),
    seed=st.integers(0, 2**32),
)
def test_a_shape_fits_is_trimmed_and_follows_from_the_seed(kind: str, pixels: list[tuple[int, int]], seed: int) -> None:
    fire = mask_of(pixels)
    shape, again = (masks(kind).shape(fire, SIZE, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(shape, again)
    assert shape.any() and max(shape.shape) <= SIZE
    if kind == "dilated":
        assert shape.sum() >= fire.sum()
        return
    assert trimmed(shape)[0].shape == shape.shape
    assert shape.sum() <= fire.sum()
    if kind in ("perlin", "matched"):
        assert shape.sum() == fire.sum() and all(np.array(shape.shape) <= fire.shape)
    else:
        assert label(shape, BOLD)[1] <= shape.sum()


def test_random_blobs_are_as_many_and_as_large_as_the_fires() -> None:
    fire = np.zeros((40, 40), bool)
    fire[:4, :5], fire[30:33, 36:40] = True, True
    blobs = RandomMasks(kind="random")
    shapes = [blobs.shape(fire, SIZE, np.random.default_rng(seed)) for seed in range(20)]
    sizes = [sorted(np.bincount(label(shape, BOLD)[0][shape])[1:]) for shape in shapes]
    assert sizes.count([12, 20]) >= 15, "the others touch"
    assert len({shape.tobytes() for shape in shapes}) == 20


def test_a_fire_spreads_on_its_fastest_ways() -> None:
    rng = np.random.default_rng(2)
    cost, wind = rng.exponential(size=(9, 9)), (0.7, -0.4)
    cost[2, 3:7] = np.inf

    def time(y: int, x: int, down: int, right: int) -> float:
        length = np.hypot(down, right)
        return float(cost[y, x] * length / np.exp((wind[0] * down + wind[1] * right) / length))

    edges = [
        (9 * y + x, 9 * (y + down) + x + right, time(y + down, x + right, down, right))
        for y in range(9) for x in range(9) for down in (-1, 0, 1) for right in (-1, 0, 1)
        if (down or right) and 0 <= y + down < 9 and 0 <= x + right < 9 and np.isfinite(cost[y + down, x + right])
    ]  # fmt: skip
    starts, ends, costs = zip(*edges, strict=True)
    times = dijkstra(coo_matrix((costs, (starts, ends)), (81, 81)).tocsr(), indices=9 * 4 + 4).reshape(9, 9)
    order = _spread(cost, 30, wind)
    reached = np.argsort(times, axis=None)[:30]
    np.testing.assert_array_equal(np.ravel(order)[reached], np.arange(30))
    assert (order >= 0).sum() == 30


def test_a_spreading_fire_is_burnt_inside_spares_islands_and_runs_with_the_wind() -> None:
    fire = np.ones((20, 20), bool)

    def drawn(seed: int, **more: float) -> npt.NDArray[np.bool_]:
        still = {"wind": 0.0, "islands": 0.0, "front": 1.0}
        return SpreadMasks(kind="spread", **(still | more)).shape(fire, 128, np.random.default_rng(seed))

    whole, hollow, spared = (drawn(3, **more) for more in ({}, {"front": 0.3}, {"islands": 0.3}))
    assert whole.sum() == hollow.sum() == 400
    assert label(whole, BOLD)[1] == 1
    middles = []
    for shape in (whole, hollow):
        (top, left), (height, width) = (np.array(shape.shape) * 2) // 5, np.array(shape.shape) // 5
        middles.append(shape[top : top + height, left : left + width].mean())
    assert middles[0] > 0.9 and middles[1] < 0.1
    holes = [int((binary_fill_holes(one) & ~one).sum()) for one in (whole, spared)]
    assert holes[1] > 2 * holes[0]
    calm, windy = ([form(drawn(seed, wind=wind)).elongation for seed in range(16)] for wind in (0.0, 3.0))
    assert np.mean(windy) > 1.1 * np.mean(calm)


def test_the_form_of_known_masks() -> None:
    bar, two = np.ones((1, 4), bool), np.zeros((3, 9), bool)
    two[:2, :2], two[:2, 7:] = True, True
    assert form(bar)[:2] == (4, 10) and form(bar).elongation == pytest.approx(4) and form(bar).pieces == 1
    assert form(two)[:2] == (8, 16) and form(two).pieces == 2
    assert form(bar).distance(form(bar)) == 0 < form(bar).distance(form(two)) == form(two).distance(form(bar))


@pytest.mark.slow
@pytest.mark.skipif(not (REAL_DATA / "fire-masks").is_dir(), reason="no real masks; name them in FIREFUSION_REAL_DATA")
def test_matched_masks_are_like_real_ones_that_the_code_has_not_seen() -> None:
    """Two-sample Kolmogorov-Smirnov tests over 20 seeds, each with another half of the real masks as models."""
    packed = np.load(REAL_DATA / "fire-masks" / "murphy_masks.npz")["masks"]
    real = [trimmed(mask)[0] for mask in np.unpackbits(packed, axis=-1, count=256).view(bool)]
    forms = np.array([form(mask) for mask in real])
    for of in ("perlin", "random", "spread"):
        matched = MatchedMasks(kind="matched", of=known(Masks)[of].model_validate({"kind": of}), candidates=8)
        for seed in range(20):
            rng = np.random.default_rng(seed)
            models = rng.permutation(len(real))[: len(real) // 2]
            unseen = np.setdiff1d(np.arange(len(real)), models)
            drawn = np.array([form(matched.shape(real[model], 256, rng)) for model in models])
            for column in (0, 3):
                for others in (models, unseen):
                    assert ks_2samp(drawn[:, column], forms[others, column]).pvalue > 0.01, (of, seed, column)


def test_matching_comes_nearer_to_the_model_than_drawing_alone() -> None:
    fire = mask_of([(2, 3), (2, 4), (3, 5), (20, 30), (21, 31), (40, 8)])
    perlin = PerlinMasks(kind="perlin")
    alone = [form(perlin.shape(fire, SIZE, np.random.default_rng(seed))).distance(form(fire)) for seed in range(12)]
    matched = MatchedMasks(kind="matched", of=perlin)
    chosen = [form(matched.shape(fire, SIZE, np.random.default_rng(seed))).distance(form(fire)) for seed in range(12)]
    assert np.mean(chosen) < 0.6 * np.mean(alone)
