"""Clouds and water: as the scheme says pixel by pixel, as a real quality band says, and unknown where nobody knows."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.landsat.conditions import CONDITION_COLUMNS, by_reflectance, condition_columns
from firefusion_assets.landsat.products.product import find_products, open_product
from firefusion_assets.landsat.products.quality import Quality
from firefusion_assets_tests.builders.real_data import REAL_PRODUCT, needs_product

BANDS = ("B2", "B4", "B5", "B6", "B9")
CLEAR = {"B2": 9_000, "B4": 9_000, "B5": 16_000, "B6": 12_000, "B9": 5_050}
CLOUD = {"B2": 25_000, "B4": 25_000, "B5": 26_000, "B6": 22_000, "B9": 5_050}
WATER = {"B2": 9_500, "B4": 7_500, "B5": 6_500, "B6": 5_500, "B9": 5_050}


def planes(*pixels: dict[str, int]) -> dict[str, np.ndarray]:
    """Patches of one line: the pixels side by side."""
    return {band: np.array([[pixel[band] for pixel in pixels]], np.uint16) for band in pixels[0]}


def plain(b1: float, b3: float, b4: float, b5: float) -> str:
    """The scheme's decision for one pixel, as its flow chart has it (names of ETM+ bands)."""
    if (b1 < b3 < b4 < b5 * 1.07 and b5 < 0.65) or (b1 * 0.8 < b3 < b4 * 0.8 and b4 < b5 and b3 < 0.22):
        return "bare"
    if b3 > b4 and ((b3 > 0.24 and b5 < 0.16) or (0.24 > b3 > 0.18 and b5 < b3 - 0.08)):
        return "snow"
    if b3 > b5 * 0.67 and ((b3 > b4 and b1 < 0.30 and b3 < 0.20) or (b3 > b4 * 0.8 and b3 < 0.06)):
        return "water"
    if (b1 > 0.15 or b3 > 0.18) and b5 > 0.12 and max(b1, b3) > b5 * 0.67:
        return "cloud"
    return "vegetated"


@given(dn=st.lists(st.tuples(*[st.integers(5_000, 40_000)] * 4), min_size=1, max_size=30), sun=st.floats(15, 90))
def test_the_rule_is_the_published_one(dn: list[tuple[int, ...]], sun: float) -> None:
    bands = dict(zip(BANDS, np.array(dn, np.uint16).T[:, None], strict=False))
    seen = by_reflectance(bands, sun)
    assert sorted(seen) == ["cloud", "snow", "water"]  # no B9, no word on cirrus
    for place, pixel in enumerate(dn):
        values = [(value * 2e-5 - 0.1) / np.sin(np.radians(sun)) for value in pixel]
        # On a threshold rounding decides, and either side is right.
        nearby = product(*[(value - 1e-6, value + 1e-6) for value in values])
        told = {kind for kind, mask in seen.items() if mask[0, place]} or {""}
        assert told <= {decision if decision in seen else "" for decision in {plain(*near) for near in nearby}}
        assert len(told) == 1


@needs_product
def test_on_a_real_product_the_rule_agrees_with_the_quality_band() -> None:
    ((files,), _) = find_products(REAL_PRODUCT)
    with open_product(files) as opened:
        lines = opened.read((*BANDS, "BQA"), 0, opened.height)
        sun, calibration = opened.metadata.sun_elevation, opened.metadata.reflectance
    quality = Quality.decode(files.id.generation, lines[-1])
    seen = by_reflectance(dict(zip(BANDS, lines, strict=False)), sun, calibration)
    assert 0.05 < quality.cloud.mean() < 0.5 and quality.cirrus.mean() > 0.2
    assert (seen["cloud"] == quality.cloud).mean() > 0.96 and seen["cloud"][quality.cloud].mean() > 0.7
    assert (seen["cirrus"] == quality.cirrus).mean() > 0.98


def test_shares_are_of_the_pixels_with_data() -> None:
    bands = planes(CLEAR, CLOUD, WATER, CLEAR, CLOUD)
    told = condition_columns(bands, np.array([[True, True, True, True, False]]), 60)
    assert tuple(told) == CONDITION_COLUMNS and told["conditions"] == "reflectance"
    assert (told["clear_share"], told["cloud_share"], told["water_share"]) == (0.75, 0.25, 0.25)
    assert told["cirrus_share"] == told["snow_share"] == 0 and np.isnan(told["shadow_share"])


def test_a_pixel_under_cloud_and_cirrus_is_hidden_once() -> None:
    told = condition_columns(planes(CLEAR, CLOUD | {"B9": 7_000}), np.ones((1, 2), bool), 60)
    assert (told["clear_share"], told["cloud_share"], told["cirrus_share"]) == (0.5, 0.5, 0.5)


def test_the_quality_band_has_the_last_word_and_reflectance_tells_the_water_that_it_leaves_out() -> None:
    bands, valid = planes(CLEAR, CLOUD, WATER, WATER), np.ones((1, 4), bool)
    none = np.zeros((1, 4), bool)
    shadow = np.array([[True, False, False, False]])
    quality = Quality(fill=none, cloud=none, cirrus=none, snow=none, shadow=shadow)
    told = condition_columns(bands, valid, 60, quality)
    assert told["conditions"] == "quality band"
    assert (told["cloud_share"], told["shadow_share"], told["clear_share"]) == (0, 0.25, 0.75)
    assert told["water_share"] == 0.5
    told = condition_columns(bands, valid, 60, Quality(none, none, none, none, water=shadow))
    assert told["water_share"] == 0.25


@pytest.mark.parametrize(
    ("bands", "sun"),
    [
        (planes(CLOUD | {"B4": 0, "B5": 0}), 60),  # a preview's other bands are zero
        ({name: band for name, band in planes(CLOUD).items() if name != "B5"}, 60),
        (planes(CLOUD), float("nan")),
    ],
)
def test_what_nobody_knows_is_unknown(bands: dict[str, np.ndarray], sun: float) -> None:
    told = condition_columns(bands, np.ones((1, 1), bool), sun)
    assert told["conditions"] == "" and all(np.isnan(told[name]) for name in CONDITION_COLUMNS[1:])
