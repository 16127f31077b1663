"""The GeoTIFFs of one patch, held against what the study expects, and made a patch of the store."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from firefusion_assets.ingest.patch_table import Georeference
from firefusion_assets.ingest.rasters import BadFileError, Raster, read_raster, to_dn
from firefusion_assets.ingest.sources.patch_inputs import PatchInput
from firefusion_assets.ingest.sources.raster_files import RasterFile
from firefusion_assets.landsat.bands import CONDITION_BANDS
from firefusion_assets.landsat.conditions import CIRRUS_BAND, condition_columns
from firefusion_assets.patchstore import Patch

_TOLERANCE: Final = 1e-3
"""px by which a mask may lie off its image: what programs round away, and far less than what one sees."""

_NOWHERE: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""What stands for no geotransform."""


@dataclass(frozen=True)
class Expected:
    """What the patches of a study have to look like."""

    patch_size: int
    file_bands: tuple[str, ...]
    bands: tuple[str, ...]
    landsat: bool
    sun_elevation: float | None
    mask_ignore: int | None

    @property
    def read_bands(self) -> list[str]:
        """The bands to read: those that are kept, then those that tell clouds and water."""
        conditions = (*CONDITION_BANDS, CIRRUS_BAND) if self.landsat else ()
        return list(dict.fromkeys((*self.bands, *conditions)))


class Kind(NamedTuple):
    """What an image's values mean: their type, and the scales and offsets that it declares."""

    dtype: str
    scaling: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        scales = ", ".join(f"{scale:g} * DN + {offset:g}" for scale, offset in self.scaling)
        return f"is of type {self.dtype}" + (f" and declares {scales}" if scales else "")


class Checked(NamedTuple):
    """A patch; the table's columns on place, sun and conditions; its image's kind; the empty bands, if all is fill."""

    patch: Patch
    place: dict[str, Any]
    kind: Kind
    empty_bands: tuple[str, ...]


def read_files(item: PatchInput, expected: Expected) -> tuple[Raster, Raster | None]:
    """Read the image's bands that are needed, and the mask, if there is one.

    This is most of the work, done by GDAL, which lets other threads run.

    Raises:
        BadFileError: if one can't be read, or is of another size.
    """
    bands = expected.file_bands
    remedy = f" ({', '.join(bands)}); correct dataset.patch_size or the file's bands"
    image = read_raster(
        item.image, expected.patch_size, len(bands), remedy, [bands.index(b) for b in expected.read_bands]
    )
    return image, None if item.mask is None else read_raster(
        item.mask, expected.patch_size, 1, "; repair the mask", [0]
    )


def checked_patch(item: PatchInput, image: Raster, mask: Raster | None, expected: Expected) -> Checked:
    """Return the patch and what else is known of it.

    Many short array operations: several threads at once would only wait for each other.

    Args:
        item: what the files are.
        image: of `read_files`, and so is mask.
        mask: None where nothing is annotated.
        expected: what they have to look like.

    Raises:
        BadFileError: if they don't.
    """
    n_bands, missing = len(expected.bands), image.declared()
    missing = None if missing is None else missing[:n_bands]
    bands, ignore = to_dn(str(item.image), image.array[:n_bands], missing, expected.landsat)
    label = np.zeros_like(ignore)
    if mask is not None and item.mask is not None:
        if (elsewhere := _elsewhere(image.georeference, mask.georeference, expected.patch_size)) is not None:
            raise BadFileError(f"{item.mask}: lies elsewhere than its image ({elsewhere}); repair the mask")
        label, unknown = _label(item.mask, mask, expected)
        ignore |= unknown
        label &= ~ignore
    try:
        place = image.georeference.place(item.acquired, expected.sun_elevation, expected.landsat)
    except ValueError as error:
        raise BadFileError(f"{item.image}: {error}; correct its georeference") from error
    if expected.landsat:
        # Every second pixel of every second line tells shares as well, for a quarter of the time.
        planes = dict(zip(expected.read_bands, image.array[:, ::2, ::2], strict=True))
        place |= condition_columns(planes, ~ignore[::2, ::2], place["sun_elevation"])
    planes_of = zip(expected.bands, image.array, strict=False)
    empty = tuple(band for band, plane in planes_of if not plane.any()) if ignore.all() else ()
    return Checked(Patch(bands, label, ignore), place, Kind(image.array.dtype.name, image.scaling), empty)


def _label(file: RasterFile, mask: Raster, expected: Expected) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return bool (H, W) each: event, and unknown."""
    values = mask.array[0]
    if values.dtype.kind not in "buif":
        raise BadFileError(f"{file}: is of type {values.dtype}; a mask holds whole numbers")
    declared = mask.declared()
    unknown = np.zeros(values.shape, np.bool_) if declared is None else declared[0]
    if mask.nodata[0] == 0:  # then it only says that nothing burns there
        unknown = np.zeros_like(unknown) if mask.valid is None else ~mask.valid[0]
    if expected.mask_ignore is not None:
        unknown |= values == expected.mask_ignore
    known = values[~unknown]
    largest = 1 if expected.landsat else np.inf
    wrong = known[~((known >= 0) & (known <= largest) & (known == np.floor(known)))]
    if wrong.size:
        found = ", ".join(f"{value:g}" for value in np.unique(wrong)[:5])
        allowed = "0 or 1" if expected.landsat else "0, or a whole number above 0 for an event"
        remedy = "repair the mask, or set dataset.mask_ignore to the value that means unknown"
        raise BadFileError(f"{file}: holds values {found}; a mask is {allowed}: {remedy}")
    nodata = mask.nodata[0]
    if nodata and nodata != expected.mask_ignore and (values == nodata).any() and not known.any():
        raise BadFileError(
            f"{file}: {nodata:g} is its only value besides 0, and also its nodata, which means unknown; if it is the "
            f"event, remove the nodata tag; if it is unknown, set dataset.mask_ignore: {nodata:g}"
        )
    return (values != 0) & ~unknown, unknown


def _elsewhere(image: Georeference, mask: Georeference, size: int) -> str | None:
    """Say how a mask lies elsewhere than its image; None where it does not, or where one of them doesn't say."""
    if image.crs and mask.crs and CRS.from_string(image.crs) != CRS.from_string(mask.crs):
        return f"CRS {_short(mask.crs)} instead of {_short(image.crs)}"
    if _NOWHERE in (image.transform, mask.transform):
        return None
    corners = np.array([(x, y, 1) for x in (0, size) for y in (0, size)])
    of_image, of_mask = (corners @ np.reshape(one.transform, (2, 3)).T for one in (image, mask))
    a, b, _, d, e, _ = image.transform
    off = np.abs(of_mask - of_image).max() / min(np.hypot(a, d), np.hypot(b, e))
    return f"by {off:.3g} px" if off > _TOLERANCE else None


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else f"{crs[:40]}..."
