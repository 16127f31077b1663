"""Patches on the map. Where one lies is said by its row in the table of a base store."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy.typing as npt
import pandas as pd
from rasterio.errors import NotGeoreferencedWarning
from shapely.affinity import affine_transform
from shapely.geometry import box

from firefusion_assets.geodata.cog import Colour, write_cog

LONGITUDE_LATITUDE: Final = "EPSG:4326"


def write_patch(
    path: Path,
    values: npt.NDArray[Any],
    bands: Sequence[str],
    place: pd.Series,
    *,
    nodata: float | None = None,
    colours: Mapping[int, Colour] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a patch as a Cloud Optimized GeoTIFF; its folder is made.

    Args:
        path: the file.
        values: (bands, H, W).
        bands: their names.
        place: crs and transform of the patch, or of the one that it was painted on; a missing crs is none.
        nodata: value that means no data.
        colours: of the values of a single band of type uint8.
        tags: more to say of the whole file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    crs = place["crs"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # a patch may have no place
        with write_cog(
            path,
            shape=values.shape,
            dtype=values.dtype.name,
            crs=None if pd.isna(crs) else crs,
            transform=place["transform"],
            bands=bands,
            nodata=nodata,
            colours=colours,
            tags=tags,
        ) as cog:
            cog.write(0, values)


def footprints(table: pd.DataFrame, size: int) -> gpd.GeoSeries:
    """Return the outlines of patches in longitude and latitude, missing where a patch has no place on Earth.

    Args:
        table: of patches: crs, transform, and west, missing where there is no place.
        size: height and width of a patch in px.
    """
    outlines = gpd.GeoSeries([None] * len(table), index=table.index, crs=LONGITUDE_LATITUDE)
    for crs, rows in table[table["west"].notna()].groupby("crs"):
        squares = [
            affine_transform(box(0, 0, size, size), (a, b, d, e, c, f)) for a, b, c, d, e, f in rows["transform"]
        ]
        outlines[rows.index] = gpd.GeoSeries(squares, index=rows.index, crs=crs).to_crs(LONGITUDE_LATITUDE)
    return outlines
