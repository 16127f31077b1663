"""Fires of a mask as polygons."""

from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.features import geometry_mask, geometry_window, shapes
from shapely.geometry import shape

EQUAL_AREA: Final = "EPSG:6933"
"""Cylindrical, equal area, for the whole Earth: in it areas are those on the ground whatever a raster's CRS is."""


def fire_polygons(fire: Path, probability: Path, spread: Path, detectors: Path | None) -> gpd.GeoDataFrame:
    """Return the fires of a mask: pixels of value 1 that touch by a side or a corner are one fire.

    Args:
        fire: raster of one band.
        probability: raster of the same grid.
        spread: raster of the same grid.
        detectors: raster of the same grid with a named band each, or None.

    Returns:
        A row a fire, from north to south: `pixels`; `area_m2`, missing without a CRS; `peak` and `confidence`, the
        highest and the mean probability; `spread`, the mean; and for each detector the share of its pixels that the
        detector sees too.
    """
    rows: list[dict[str, Any]] = []
    with rasterio.open(fire) as mask, rasterio.open(probability) as chances, rasterio.open(spread) as spreads:
        beside = rasterio.open(detectors) if detectors is not None else None
        try:
            # Masked by itself: the ground around all fires would be one polygon with a hole for each.
            band = rasterio.band(mask, 1)
            found = shapes(band, mask=band, connectivity=8, transform=mask.transform)
            for geometry, value in found:
                if value != 1:
                    continue
                window = geometry_window(mask, [geometry])
                inside = geometry_mask(
                    [geometry],
                    (int(window.height), int(window.width)),
                    mask.window_transform(window),
                    invert=True,
                )
                chance = _inside(chances, 1, window, inside)
                row = {
                    "geometry": shape(geometry),
                    "pixels": int(inside.sum()),
                    "peak": float(chance.max()),
                    "confidence": float(chance.mean()),
                    "spread": float(_inside(spreads, 1, window, inside).mean()),
                }
                if beside is not None:
                    for number, name in enumerate(beside.descriptions, start=1):
                        row[name.replace("-", "_")] = float((_inside(beside, number, window, inside) == 1).mean())
                rows.append(row)
        finally:
            names = [name.replace("-", "_") for name in beside.descriptions] if beside is not None else []
            if beside is not None:
                beside.close()
        crs = mask.crs
    columns = ["pixels", "peak", "confidence", "spread", *names]
    fires = gpd.GeoDataFrame(rows, columns=None if rows else [*columns, "geometry"], geometry="geometry", crs=crs)
    area = fires.to_crs(EQUAL_AREA).area if crs else np.nan
    fires.insert(1, "area_m2", area)
    return fires


def _inside(dataset: Any, band: int, window: Any, inside: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = dataset.read(band, window=window)[inside]
    return values
