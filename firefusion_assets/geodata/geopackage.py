"""Tables as layers of a GeoPackage."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyogrio


def write_geopackage(path: Path, layers: Mapping[str, pd.DataFrame]) -> None:
    """Write tables as layers of one GeoPackage, over an older one; those without geometry are layers without one."""
    partial = path.with_name(f"{path.stem}.partial.gpkg")
    partial.unlink(missing_ok=True)
    for name, rows in layers.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # an image may have none
            # What no row tells; all our shapes are polygons.
            kind = {"geometry_type": "Polygon"} if "geometry" in rows and rows.empty else {}
            pyogrio.write_dataframe(rows, partial, layer=name, driver="GPKG", **kind)
    partial.replace(path)
