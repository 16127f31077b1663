"""The GeoTIFFs of one patch: read, held against what the study expects, and made a patch of the store."""

from dataclasses import dataclass
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import rasterio

from firefusion_assets.landsat.conditions import CIRRUS_BAND, CONDITION_BANDS, condition_columns
from firefusion_assets.landsat.patch_table import Georeference
from firefusion_assets.landsat.sources.files import RasterFile
from firefusion_assets.landsat.sources.inputs import PatchInput
from firefusion_assets.patchstore import Patch


class BadFileError(ValueError):
    """One file that can't be used."""


@dataclass(frozen=True)
class Expected:
    """What the patches of a study have to look like."""

    patch_size: int
    file_bands: tuple[str, ...]
    bands: tuple[str, ...]
    landsat: bool
    sun_elevation: float | None

    @property
    def read_bands(self) -> list[str]:
        """The bands to read: those that are kept, then those that tell clouds and water."""
        conditions = (*CONDITION_BANDS, CIRRUS_BAND) if self.landsat else ()
        return list(dict.fromkeys((*self.bands, *conditions)))


class Raster(NamedTuple):
    """What was read of a file (bands, height, width), its whole shape, where it lies, and what it fills with."""

    array: npt.NDArray[Any]
    shape: tuple[int, int, int]
    georeference: Georeference
    nodata: float | None


def read_files(item: PatchInput, expected: Expected) -> tuple[Raster, Raster | None]:
    """Read the image's bands that are needed, and the mask, if there is one.

    This is most of the work, done by GDAL, which lets other threads run.

    Raises:
        BadFileError: if one can't be read.
    """
    image = _read_raster(item.image, expected)
    return image, None if item.mask is None else _read_raster(item.mask)


def checked_patch(
    item: PatchInput, image_raster: Raster, mask_raster: Raster | None, expected: Expected
) -> tuple[Patch, dict[str, Any]]:
    """Return the patch, and the table's columns on place, sun and conditions.

    Many short array operations: several threads at once would only wait for each other.

    Args:
        item: what the files are.
        image_raster: of `read_files`, and so is mask_raster.
        mask_raster: None where nothing is annotated.
        expected: what they have to look like.

    Raises:
        BadFileError: if they don't.
    """
    size = expected.patch_size
    image, shape, georeference, nodata = image_raster
    n_bands = len(expected.file_bands)
    if shape != (n_bands, size, size):
        raise BadFileError(
            f"{item.image}: is {shape[1]} x {shape[2]} px with {shape[0]} bands, expected "
            f"{size} x {size} px with {n_bands} bands ({', '.join(expected.file_bands)}); mend dataset.patch_size "
            "or the file's bands"
        )
    if expected.landsat and image.dtype != np.uint16:
        raise BadFileError(f"{item.image}: is of type {image.dtype}, Landsat DN are uint16")
    fits = image.dtype in (np.uint8, np.uint16)
    if not fits and (not np.issubdtype(image.dtype, np.integer) or image.min() < 0 or image.max() > 65535):
        raise BadFileError(
            f"{item.image}: holds {image.dtype} from {image.min()} to {image.max()}; the store takes integers from "
            "0 to 65535, scale them first"
        )
    bands = image[: len(expected.bands)].astype(np.uint16, copy=False)
    ignore = _nodata(bands, nodata, expected.landsat)
    bands[:, ignore] = 0  # whatever the file fills with, the store fills with 0
    label = np.zeros((size, size), bool)
    if mask_raster is not None:
        mask, _, mask_reference, _ = mask_raster
        if mask.shape != (1, size, size):
            raise BadFileError(f"{item.mask}: is {mask.shape} (bands, height, width), expected (1, {size}, {size})")
        if expected.landsat and mask.max() > 1:
            raise BadFileError(f"{item.mask}: holds values up to {mask.max()}, a mask is 0 or 1")
        both = georeference.crs and mask_reference.crs
        if both and georeference.transform != mask_reference.transform:
            raise BadFileError(f"{item.mask}: lies elsewhere than its image (other geotransform)")
        label = (mask[0] != 0) & ~ignore
    place = georeference.place(item.acquired, expected.sun_elevation, expected.landsat)
    if expected.landsat:
        planes = dict(zip(expected.read_bands, image, strict=True))
        place |= condition_columns(planes, ~ignore, place["sun_elevation"])
    return Patch(bands, label, ignore), place


def _read_raster(file: RasterFile, expected: Expected | None = None) -> Raster:
    try:
        with file.open() as dataset:
            wanted = None
            if expected and dataset.count == len(expected.file_bands):
                wanted = [expected.file_bands.index(band) + 1 for band in expected.read_bands]
            georeference = Georeference(
                crs=dataset.crs.to_string() if dataset.crs else None,
                transform=tuple(dataset.transform)[:6],
                bounds=tuple(dataset.bounds),
            )
            return Raster(dataset.read(wanted), (dataset.count, *dataset.shape), georeference, dataset.nodata)
    except (rasterio.errors.RasterioError, BadZipFile, OSError) as error:
        raise BadFileError(
            f"{file}: can't be read ({error or type(error).__name__}): truncated, or no TIFF; fetch it again"
        ) from error


def _nodata(bands: npt.NDArray[np.uint16], nodata: float | None, landsat: bool) -> npt.NDArray[np.bool_]:
    """Return bool (H, W): fill. Landsat fills with DN 0 in any band; elsewhere 0 may be a value of one band."""
    if landsat:
        filled: npt.NDArray[np.bool_] = (bands == 0).any(0)
    elif nodata is not None:
        filled = (bands == nodata).any(0)
    else:
        filled = (bands == 0).all(0)
    return filled
