"""Traces that painting leaves are told from real pixels, and what is equal is not."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from firefusion_assets.inpainting.fingerprint import Fingerprint, Region, fingerprint, structure
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, needs_patches

SIZE = 24


def regions(n: int, seed: int, trace: str = "", prefix: str = "g") -> list[Region]:
    """Discs of ground whose neighbours are alike, some with what a generator leaves behind."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:SIZE, :SIZE]
    found = []
    for number in range(n):
        logs = 9 + 0.03 * rng.standard_normal((3, SIZE, SIZE)).cumsum(1).cumsum(2) / 8
        logs += 0.01 * rng.standard_normal(logs.shape)
        if trace == "smooth":
            logs = (logs + np.roll(logs, 1, 1) + np.roll(logs, 1, 2)) / 3
        if trace == "checkerboard":
            logs += 0.02 * (-1.0) ** (y + x)
        dn = np.exp(logs).astype(np.uint16)
        if trace == "8 bits":
            dn = dn // 257 * 257 + 128
        disc = (y - SIZE // 2) ** 2 + (x - SIZE // 2) ** 2 <= rng.uniform(4, 10) ** 2
        found.append(Region(dn, disc, f"{prefix}{number}"))
    return found


def told(painted: list[Region], real: list[Region]) -> Fingerprint:
    found = fingerprint(painted, real)
    assert found is not None
    return found


def test_what_painting_left_as_it_was_is_at_chance_exactly() -> None:
    found = told(regions(30, 1), regions(30, 1))
    assert (found.auc, found.low, found.high) == (0.5, 0.5, 0.5)


def test_real_regions_are_not_told_from_real_ones() -> None:
    aucs = [told(regions(20, seed), regions(40, 100 + seed, prefix="h")).auc for seed in range(30)]
    assert abs(np.mean(aucs) - 0.5) < 0.05 and np.std(aucs) < 0.15


@pytest.mark.parametrize("trace", ["smooth", "checkerboard", "8 bits"])
def test_what_a_generator_leaves_behind_is_told(trace: str) -> None:
    found = told(regions(30, 1, trace), regions(30, 2, prefix="h"))
    assert found.auc > 0.95 and found.low > 0.8
    assert np.median(found.painted) > 0 > np.median(found.real)


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    found = told(regions(12, 1, "smooth"), regions(15, 2, prefix="h"))
    pairs = [1.0 if p > r else 0.5 if p == r else 0.0 for p in found.painted for r in found.real]
    assert found.auc == pytest.approx(np.mean(pairs)) and found.low <= found.auc <= found.high


def test_a_group_is_judged_by_others_alone() -> None:
    """Ten copies of each region: whoever has seen one knows the others, and which kind it was."""
    painted = [one for one in regions(8, 1) for _ in range(10)]
    real = [one for one in regions(8, 2, prefix="h") for _ in range(10)]
    apart = told(painted, real)
    split = told(
        [one._replace(group=f"{one.group}-{number}") for number, one in enumerate(painted)],
        [one._replace(group=f"{one.group}-{number}") for number, one in enumerate(real)],
    )
    assert split.auc > 0.95 and abs(apart.auc - 0.5) < 0.35


def test_the_structure_is_that_of_steps_and_squares() -> None:
    (region,) = regions(1, 3)
    expected: dict[str, list[float]] = {"steps": [], "squares": [], "none": []}
    for band in region.bands:
        logs = np.log(band.astype(float))
        steps, squares = [], []
        for y, x in np.argwhere(region.mask):
            if region.mask[y, x + 1]:
                steps.append(logs[y, x + 1] - logs[y, x])
                if region.mask[y + 1, x] and region.mask[y + 1, x + 1]:
                    squares.append(logs[y + 1, x + 1] - logs[y + 1, x] - logs[y, x + 1] + logs[y, x])
        expected["steps"].append(np.log(np.sqrt(np.mean(np.square(steps))) + 1e-4))
        expected["squares"].append(np.log(np.sqrt(np.mean(np.square(squares))) + 1e-4))
        expected["none"].append(np.mean(np.array(steps) == 0))
    np.testing.assert_allclose(structure(region), np.concatenate([*expected.values()]))


def test_small_regions_and_few_are_not_judged() -> None:
    thin = [one._replace(mask=one.mask & (np.arange(SIZE) == SIZE // 2)) for one in regions(20, 1)]
    assert np.isnan(structure(thin[0])).all()
    assert fingerprint(thin, regions(20, 2)) is None
    assert fingerprint(regions(7, 1), regions(20, 2)) is None
    assert fingerprint([], []) is None
    assert fingerprint([one._replace(group="g") for one in regions(20, 1)], regions(0, 2)) is None
    some = told([*thin[:3], *regions(20, 1)], regions(20, 2))
    assert np.isnan(some.painted[:3]).all() and np.isfinite(some.painted[3:]).all()


@needs_patches
@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda dn: dn, 0.5),
        (lambda dn: dn // 257 * 257 + 128, 0.95),
        (lambda dn: ((dn.astype(int) + np.roll(dn, 1, 2)) // 2).astype(np.uint16), 0.85),
    ],
    ids=["untouched", "8 bits", "smoothed"],
)
def test_real_ground_that_went_through_a_generator_is_told(
    change: Callable[[npt.NDArray[np.uint16]], npt.NDArray[np.uint16]], least: float
) -> None:
    before, after = [], []
    for file in sorted((REAL_PATCHES / "landsat_patches").glob("*020039*.tif")):
        with rasterio.open(file) as raster:
            bands = raster.read()
        for row in range(0, 256, 64):
            for column in range(0, 256, 64):
                place = np.s_[:, row : row + 64, column : column + 64]
                ring = np.zeros((64, 64), bool)
                ring[8:56, 8:56] = True
                ring[20:44, 20:44] = False
                window = f"{file.stem}-{row}-{column}"
                before.append(Region(bands[place], ring, window))
                after.append(Region(change(bands)[place], ring, window))
    assert len(before) >= 48, "otherwise this test says nothing"
    found = told(after, before)
    assert found.auc >= least and (found.low > 0.5) == (least > 0.5)
