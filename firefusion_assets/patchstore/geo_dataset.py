"""Patches as torchgeo's samplers ask for them: by place and time. torchgeo itself isn't needed."""

from typing import Any, Final

import geopandas as gpd
import pandas as pd
import shapely
from rasterio.warp import transform_bounds
from torch.utils.data import Dataset

from firefusion_assets.patchstore.dataset import PatchDataset, Sample

_CRS: Final = "EPSG:4326"
"""Patches lie in many UTM zones; an index needs one system."""
_NO_DAY: Final = pd.Timestamp("1900-01-01")
"""Paint happened on no day: a time of interest leaves it out."""


class GeoPatches(Dataset[Sample]):
    """The patches of a dataset whose place is known, indexed by a box in degrees and a moment.

    What `torchgeo.samplers.PreChippedGeoSampler` yields, with a region and a time of interest or without, indexes it.
    Painted patches lie where their backgrounds do, so the moment tells them apart: the day of the pass and, in
    microseconds, the patch's number.

    Args:
        patches: with places.

    Attributes:
        index: a box a patch in degrees, by its moment.
        crs: of the index.
        res: degrees a pixel, east and north, of the first patch.

    Raises:
        ValueError: if no patch's place is known.
    """

    def __init__(self, patches: PatchDataset) -> None:
        self._patches = patches
        self._numbers: dict[pd.Timestamp, int] = {}
        boxes = []
        for number, patch_id in enumerate(patches.ids):
            place = (patches.places or {}).get(patch_id)
            if place is None or not place.crs:
                continue
            day = pd.Timestamp(place.acquired) if place.acquired else _NO_DAY
            self._numbers[day + pd.Timedelta(number, "us")] = number
            boxes.append(shapely.box(*transform_bounds(place.crs, _CRS, *place.bounds(patches.patch_size))))
        if not boxes:
            raise ValueError("no patch has a place; index the dataset by numbers")
        moments = pd.IntervalIndex.from_arrays([*self._numbers], [*self._numbers], closed="both", name="datetime")
        self.index = gpd.GeoDataFrame(index=moments, geometry=boxes, crs=_CRS)
        self.crs = self.index.crs
        left, bottom, right, top = boxes[0].bounds
        self.res = (right - left) / patches.patch_size, (top - bottom) / patches.patch_size

    @property
    def bounds(self) -> tuple[slice, slice, slice]:
        """Return the box and the time that hold all patches."""
        left, bottom, right, top = map(float, self.index.total_bounds)
        return slice(left, right), slice(bottom, top), slice(min(self._numbers), max(self._numbers))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, query: tuple[Any, Any, Any]) -> Sample:
        moment = pd.Timestamp(query[2].start)
        if moment not in self._numbers:
            raise IndexError(f"no patch of moment {moment}; sample whole patches (PreChippedGeoSampler)")
        return self._patches[self._numbers[moment]]
