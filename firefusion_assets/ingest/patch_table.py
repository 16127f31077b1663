"""The table of a base store: a row a patch, with its origin, its location and its contents."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from firefusion_assets.ingest.sources.patch_inputs import PatchOrigin
from firefusion_assets.landsat.bands import PIXEL_SIZE
from firefusion_assets.landsat.sun import sun_elevation
from firefusion_assets.patchstore import Patch


@dataclass
class Taken:
    """What was taken into a base store.

    Attributes:
        rows: one for each patch, in the store's order.
        problems: one line for each input that could not be used.
        n_empty: patches that were left out because every pixel is fill.
        empty_bands: how many of them hold nothing in a band, by its name.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_empty: int = 0
    empty_bands: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Georeference:
    """Where an image lies.

    Attributes:
        crs: coordinate reference system, or None.
        transform: six coefficients from (sample, line) to coordinates.
        bounds: left, bottom, right and top in the CRS.
    """

    crs: str | None
    transform: tuple[float, ...]
    bounds: tuple[float, float, float, float]

    def place(self, acquired: date | None, elevation: float | None, landsat: bool) -> dict[str, Any]:
        """Return the table's columns on place and sun; missing values where unknown.

        Args:
            acquired: day of the pass, or None.
            elevation: of the sun in degrees, or None to compute it from day and place.
            landsat: whether pixels without a CRS are Landsat's.

        Raises:
            ValueError: if the sun is asked for where Landsat doesn't pass.
        """
        west = south = east = north = area = np.nan
        crs = CRS.from_string(self.crs) if self.crs else None
        if crs and (crs.is_geographic or crs.is_projected):  # others are no place on Earth
            west, south, east, north = transform_bounds(crs, "EPSG:4326", *self.bounds)
            a, b, _, d, e, _ = self.transform
            if crs.is_projected:
                area = abs(a * e - b * d) * crs.linear_units_factor[1] ** 2
            if elevation is None and acquired is not None:
                elevation = sun_elevation((south + north) / 2, acquired)
        elif landsat:
            area = PIXEL_SIZE**2
        return {
            "west": west, "south": south, "east": east, "north": north,
            "pixel_area_m2": area, "sun_elevation": elevation if elevation is not None else np.nan,
            "crs": self.crs, "transform": list(self.transform),
        }  # fmt: skip


def patch_row(origin: PatchOrigin, patch: Patch, place: dict[str, Any], image: str, mask: str | None) -> dict[str, Any]:
    """Return the table's row of a patch.

    Args:
        origin: what it is called and what it belongs to.
        patch: as it is stored.
        place: of `Georeference.place`.
        image: the file, or the product, that it was read from.
        mask: the file of its label, if it has one.
    """
    return {
        "patch_id": origin.patch_id,
        "scene": origin.scene,
        "group": origin.group,
        "path": origin.path,
        "row": origin.row,
        "acquired": origin.acquired.isoformat() if origin.acquired else None,
        "fire_pixels": int(patch.label.sum()),
        "valid_pixels": int((~patch.ignore).sum()),
        **place,
        "image": image,
        "mask": mask,
    }
