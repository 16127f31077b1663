"""What prepares the data of study `burn-scars` does what it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio

from firefusion_assets_tests.builders.rasters import write_raster
from firefusion_assets_tests.builders.studies import REPOSITORY


def test_burn_scars_are_cut_into_tiles_that_lie_where_they_were(tmp_path: Path) -> None:
    script = (REPOSITORY / "data" / "burn-scars" / "tiles.py").read_text()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "tiles.py").write_text(script)
    image = np.arange(2 * 140 * 200, dtype=np.uint16).reshape(2, 140, 200)
    for kind in ("images", "masks"):
        write_raster(tmp_path / "given" / kind / "FIRE_20240101.tif", image, "EPSG:32610")
    command = [sys.executable, str(tmp_path / "study" / "tiles.py"), str(tmp_path / "given")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.startswith("8 tiles in ")
    tiles = sorted((tmp_path / "study" / "input" / "masks").glob("*.tif"))
    places = [(row, column) for row in (0, 1) for column in range(4)]
    assert [tile.name for tile in tiles] == [f"FIRE_20240101--{row}-{column}.tif" for row, column in places]
    with rasterio.open(tiles[5]) as tile:
        np.testing.assert_array_equal(tile.read(), image[:, 22 + 48 : 22 + 96, 4 + 48 : 4 + 96])
        assert tile.transform * (0, 0) == (500_000 + 30 * (4 + 48), 4_000_000 - 30 * (22 + 48))
