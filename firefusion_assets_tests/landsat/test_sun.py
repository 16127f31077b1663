"""Sun elevation against a product's MTL and against what any almanac says."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.landsat.sun import sun_elevation
from firefusion_assets_tests.builders.real_data import REAL_PRODUCT


def test_agrees_with_the_mtl_of_a_real_product() -> None:
    found = sorted(REAL_PRODUCT.glob("*/*_MTL.txt"))
    if not found:
        pytest.skip("no real product here")
    text = found[0].read_text()

    def value(key: str) -> str:
        match = re.search(rf"^\s*{key} = (\S+)$", text, re.MULTILINE)
        assert match is not None
        return match[1]

    corners = [float(value(f"CORNER_{corner}_LAT_PRODUCT")) for corner in ("UL", "UR", "LL", "LR")]
    computed = sun_elevation(sum(corners) / 4, date.fromisoformat(value("DATE_ACQUIRED")))
    assert computed == pytest.approx(float(value("SUN_ELEVATION")), abs=0.3)


def test_sun_is_higher_in_summer_on_both_hemispheres() -> None:
    june, december = date(2020, 6, 21), date(2020, 12, 21)
    assert sun_elevation(50, june) > sun_elevation(50, december) + 35
    assert sun_elevation(-35, december) > sun_elevation(-35, june) + 30


def test_polar_night_is_dark() -> None:
    assert sun_elevation(75, date(2020, 12, 21)) < 0


@given(st.floats(-60, 60), st.dates(date(2013, 4, 1), date(2030, 1, 1)))
def test_stays_below_noon(latitude: float, day: date) -> None:
    noon = 90 - abs(latitude) + 23.5  # no place sees the sun higher above its horizon than this
    assert -90 <= sun_elevation(latitude, day) <= min(90, noon)


@given(st.floats(-60, 60), st.integers(1, 27))
def test_changes_little_from_year_to_year(latitude: float, day: int) -> None:
    assert sun_elevation(latitude, date(2019, 8, day)) == pytest.approx(
        sun_elevation(latitude, date(2023, 8, day)), abs=1e-9
    )


@pytest.mark.parametrize("latitude", [81.9, -85.0, 90.0])
def test_refuses_places_that_the_orbit_does_not_reach(latitude: float) -> None:
    with pytest.raises(ValueError, match="ground track"):
        sun_elevation(latitude, date(2020, 6, 1))
