"""Patches on the map: rasters and outlines lie where the table says, or nowhere where it says nothing."""

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
from rasterio.warp import transform
from rio_cogeo.cogeo import cog_validate

from firefusion_assets.geodata.geopackage import write_geopackage
from firefusion_assets.geodata.patches import footprints, write_patch

SIZE = 20
PLACES = {
    "north": ("EPSG:32633", [30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0], 15.0),
    "turned": ("EPSG:32719", [10.0, 5.0, 400_000.0, 5.0, -10.0, 8_000_000.0], -69.9),
    "nowhere": (None, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], np.nan),
    "of a drawing": ('LOCAL_CS["site",UNIT["metre",1]]', [1.0, 0.0, 3.0, 0.0, -1.0, 4.0], np.nan),
}
TABLE = pd.DataFrame.from_dict(PLACES, orient="index", columns=["crs", "transform", "west"])


def test_outlines_are_the_corners_of_the_pixels() -> None:
    outlines = footprints(TABLE, SIZE)
    assert outlines.crs.to_epsg() == 4326 and list(outlines.index) == list(TABLE.index)
    assert outlines.isna().tolist() == [False, False, True, True]
    for name in ("north", "turned"):
        crs, (a, b, c, d, e, f), _ = PLACES[name]
        corners = [(x, y) for y in (0, SIZE) for x in (0, SIZE)]
        xs, ys = zip(*((a * x + b * y + c, d * x + e * y + f) for x, y in corners), strict=True)
        expected = sorted(zip(*transform(crs, "EPSG:4326", xs, ys), strict=True))
        found = sorted({(x, y) for x, y in outlines[name].exterior.coords})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", PLACES)
def test_a_patch_is_a_cog_where_it_lies(name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (2, SIZE, SIZE), dtype=np.uint16)
    file = tmp_path / "below" / "a.b.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_patch(file, values, ["B7", "B2"], TABLE.loc[name], tags={"SYNTHETIC": "yes"})
    assert cog_validate(file, strict=True)[0]
    crs, coefficients, _ = PLACES[name]
    with rasterio.open(file) as raster:
        np.testing.assert_array_equal(raster.read(), values)
        assert raster.descriptions == ("B7", "B2") and raster.tags()["SYNTHETIC"] == "yes"
        assert (raster.crs is None) == (crs is None)
        if name in ("north", "turned"):
            assert raster.crs == crs and list(raster.transform)[:6] == coefficients
    assert [path.name for path in file.parent.iterdir()] == ["a.b.tif"]


def test_layers_are_tables_where_nothing_has_an_outline(tmp_path: Path) -> None:
    outlines = footprints(TABLE, SIZE)
    rows = pd.DataFrame({"patch_id": outlines.index, "group": ["a", None, "b", "c"]})
    path = tmp_path / "p.gpkg"
    path.write_text("an older one")
    write_geopackage(path, {"some": gpd.GeoDataFrame(rows, geometry=outlines.array), "none": rows})
    assert dict(pyogrio.list_layers(path)) == {"some": "Polygon", "none": None}
    some, none = (gpd.read_file(path, layer=name) for name in ("some", "none"))
    assert some.geometry.isna().tolist() == [False, False, True, True] and "geometry" not in none
    assert none["group"].fillna("").tolist() == ["a", "", "b", "c"]
