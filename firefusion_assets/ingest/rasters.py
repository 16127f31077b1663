"""One raster file, read: its bands, where it lies, and which of its pixels hold no data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import MaskFlags

from firefusion_assets.ingest.patch_table import Georeference
from firefusion_assets.ingest.sources.raster_files import RasterFile

DN_MAX: Final = 65535
"""The largest value that a store holds."""

_LARGEST_VALUE: Final = 8
"""Bytes of the widest value that a file may hold."""
_BESIDE_VALUES: Final = 16 * 2**20
"""Bytes that a file may hold beside its values: padding of its tiles, overviews, tags."""


class BadFileError(ValueError):
    """One file that can't be used."""


@dataclass(frozen=True)
class Raster:
    """What was read of a file.

    Attributes:
        array: (bands, height, width), in the file's type.
        georeference: where it lies.
        nodata: the declared value of each band, or None.
        valid: bool (bands, height, width) of the file's own mask, or None where it has none.
        scaling: declared pairs of scale and offset other than 1 and 0.
    """

    array: npt.NDArray[Any]
    georeference: Georeference
    nodata: tuple[float | None, ...]
    valid: npt.NDArray[np.bool_] | None
    scaling: tuple[tuple[float, float], ...]

    def declared(self) -> npt.NDArray[np.bool_] | None:
        """Return bool (bands, height, width): values that the file declares to be no data; None where it has no way."""
        return declared_missing(self.array, self.nodata, self.valid)


def read_raster(file: RasterFile, size: int, n_bands: int, remedy: str, wanted: list[int]) -> Raster:
    """Read bands of a file.

    Args:
        file: the file.
        size: height and width that it must have in px.
        n_bands: bands that it must have.
        remedy: what the message adds where it has others.
        wanted: bands to read, from 0.

    Raises:
        BadFileError: if it can't be read, is of another size, or is far too large for that size in a zip.
    """
    numbers = [band + 1 for band in wanted]
    most = 2 * size * size * n_bands * _LARGEST_VALUE + _BESIDE_VALUES
    if file.info is not None and file.size > most:  # it would be unpacked into memory
        raise BadFileError(
            f"{file}: takes {file.size / 2**20:,.0f} MiB unpacked, and a file of {size} x {size} px with {n_bands} "
            f"bands {most / 2**20:,.0f} MiB at most{remedy}; if it is right, unpack the zip by hand"
        )
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
            return Raster(
                dataset.read(numbers),
                georeference,
                tuple(dataset.nodatavals[band] for band in wanted),
                dataset.read_masks(numbers) != 0 if has_own_mask(dataset) else None,
                tuple(sorted({*zip(dataset.scales, dataset.offsets, strict=True)} - {(1.0, 0.0)})),
            )
    except (rasterio.errors.RasterioError, BadZipFile, OSError) as error:
        cause = str(error.__cause__ or error) or type(error).__name__
        # A member of a zip has another path in memory each time.
        cause = re.sub(r"/vsimem/[^\s:',]+", file.name, cause)
        raise BadFileError(f"{file}: can't be read ({cause}): truncated, or no image; fetch it again") from error


def has_own_mask(dataset: Any) -> bool:
    """Whether an open file brings a mask of its valid pixels, besides nodata values."""
    # GDAL calls the fourth of four bands of 8 bits alpha; here it is a band like any other.
    return not {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha} & {*dataset.mask_flag_enums[0]}


def declared_missing(
    values: npt.NDArray[Any], nodata: Sequence[float | None], valid: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_] | None:
    """Return bool (bands, height, width): values that a file declares to be no data; None where it has no way to.

    Args:
        values: (bands, height, width) as they are in the file.
        nodata: the declared value of each band, or None.
        valid: bool (bands, height, width) of the file's own mask, or None where it has none.
    """
    if valid is None and set(nodata) == {None}:
        return None
    missing = np.zeros(values.shape, np.bool_) if valid is None else ~valid
    for band, of_band, value in zip(missing, values, nodata, strict=True):
        if value is not None:
            band |= np.isnan(of_band) if np.isnan(value) else of_band == value
    return missing


def to_dn(
    name: str, values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None, landsat: bool
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Return the bands as a store has them, uint16 with 0 where there is no data, and bool (H, W): fill.

    Fill is a pixel without data in all bands: by the file's nodata and mask, or 0 where it has neither. Landsat's is
    also one with DN 0 in any band.

    Args:
        name: of the file, for messages.
        values: (bands, H, W) as they are in the file.
        missing: of `declared_missing`.
        landsat: whether the values are Landsat's DN.

    Raises:
        BadFileError: if they can't be stored.
    """
    dtype = values.dtype
    if landsat and dtype != np.uint16:
        raise BadFileError(f"{name}: is of type {dtype}, Landsat DN are uint16")
    if not np.issubdtype(dtype, np.integer):
        raise BadFileError(f"{name}: is of type {dtype}; integers from 0 to {DN_MAX} are read, scale them first")
    if missing is not None:
        values = np.where(missing, 0, values)
    if dtype not in (np.uint8, np.uint16) and (values.min() < 0 or values.max() > DN_MAX):
        raise BadFileError(
            f"{name}: holds {dtype} from {values.min()} to {values.max()}; integers from 0 to {DN_MAX} are read: scale "
            "them first, or declare what means no data as the file's nodata"
        )
    empty = values == 0 if landsat or missing is None else missing
    ignore: npt.NDArray[np.bool_] = np.any(empty, axis=0) if landsat else np.all(empty, axis=0)
    if ignore.any():
        values = np.where(ignore, 0, values)  # whatever the file fills with, the store fills with 0
    return values.astype(np.uint16, copy=False), ignore
