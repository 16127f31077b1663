"""The GeoTIFFs of one patch: read, held against what the study expects, and made a patch of the store."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import rasterio

from firefusion_assets.ingest.patch_table import Georeference
from firefusion_assets.ingest.sources.patch_inputs import PatchInput
from firefusion_assets.ingest.sources.raster_files import RasterFile
from firefusion_assets.landsat.conditions import CIRRUS_BAND, CONDITION_BANDS, condition_columns
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
    """What was read of a file (bands, height, width), where it lies, and what it fills with, if it says so."""

    array: npt.NDArray[Any]
    georeference: Georeference
    nodata: float | None


def read_files(item: PatchInput, expected: Expected) -> tuple[Raster, Raster | None]:
    """Read the image's bands that are needed, and the mask, if there is one.

    This is most of the work, done by GDAL, which lets other threads run.

    Raises:
        BadFileError: if one can't be read, or is of another size.
    """
    bands = expected.file_bands
    remedy = f" ({', '.join(bands)}); correct dataset.patch_size or the file's bands"
    image = _read_raster(
        item.image, expected.patch_size, len(bands), remedy, [bands.index(b) for b in expected.read_bands]
    )
    return image, None if item.mask is None else _read_raster(
        item.mask, expected.patch_size, 1, "; repair the mask", [0]
    )


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
    image, georeference, nodata = image_raster
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
    label = np.zeros_like(ignore)
    if mask_raster is not None:
        (mask,), mask_reference, mask_nodata = mask_raster
        if expected.landsat and mask.max() > 1:
            raise BadFileError(f"{item.mask}: holds values up to {mask.max()}, a mask is 0 or 1")
        both = georeference.crs and mask_reference.crs
        if both and georeference.transform != mask_reference.transform:
            raise BadFileError(f"{item.mask}: lies elsewhere than its image (other geotransform)")
        ignore |= np.isnan(mask)
        if mask_nodata:  # where it is 0, it only says that nothing burns there
            ignore |= mask == mask_nodata
        label = (mask != 0) & ~ignore
    try:
        place = georeference.place(item.acquired, expected.sun_elevation, expected.landsat)
    except ValueError as error:
        raise BadFileError(f"{item.image}: {error}; correct its georeference") from error
    if expected.landsat:
        # Every second pixel of every second line tells shares as well, for a quarter of the time.
        planes = dict(zip(expected.read_bands, image[:, ::2, ::2], strict=True))
        place |= condition_columns(planes, ~ignore[::2, ::2], place["sun_elevation"])
    return Patch(bands, label, ignore), place


def _read_raster(file: RasterFile, size: int, n_bands: int, remedy: str, wanted: list[int]) -> Raster:
    try:
        with file.open() as dataset:
            shape = (dataset.count, *dataset.shape)
            if shape != (n_bands, size, size):  # checked before it is read, however large it is
                raise BadFileError(
                    f"{file}: is {shape[1]} x {shape[2]} px with {shape[0]} bands, expected {size} x {size} px with "
                    f"{n_bands} bands{remedy}"
                )
            georeference = Georeference(
                crs=dataset.crs.to_string() if dataset.crs else None,
                transform=tuple(dataset.transform)[:6],
                bounds=tuple(dataset.bounds),
            )
            return Raster(dataset.read([place + 1 for place in wanted]), georeference, dataset.nodata)
    except (rasterio.errors.RasterioError, BadZipFile, OSError) as error:
        cause = str(error.__cause__ or error) or type(error).__name__
        # A member of a zip has another path in memory each time.
        cause = re.sub(r"/vsimem/[^\s:',]+", file.name, cause)
        raise BadFileError(f"{file}: can't be read ({cause}): truncated, or no TIFF; fetch it again") from error


def _nodata(bands: npt.NDArray[np.uint16], nodata: float | None, landsat: bool) -> npt.NDArray[np.bool_]:
    """Return bool (H, W): fill. Landsat fills with DN 0 in any band; elsewhere 0 may be a value of one band."""
    if landsat:
        filled: npt.NDArray[np.bool_] = (bands == 0).any(0)
    elif nodata is not None:
        filled = (bands == nodata).any(0)
    else:
        filled = (bands == 0).all(0)
    return filled
