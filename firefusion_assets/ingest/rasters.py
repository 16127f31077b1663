"""One raster file, read: its bands, where it lies, and which of its pixels hold no data."""

import re
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import MaskFlags

from firefusion_assets.ingest.patch_table import Georeference
from firefusion_assets.ingest.sources.raster_files import RasterFile


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
        if self.valid is None and set(self.nodata) == {None}:
            return None
        missing = np.zeros(self.array.shape, np.bool_) if self.valid is None else ~self.valid
        for band, values, nodata in zip(missing, self.array, self.nodata, strict=True):
            if nodata is not None:
                band |= np.isnan(values) if np.isnan(nodata) else values == nodata
        return missing


def read_raster(file: RasterFile, size: int, n_bands: int, remedy: str, wanted: list[int]) -> Raster:
    """Read bands of a file.

    Args:
        file: the file.
        size: height and width that it must have in px.
        n_bands: bands that it must have.
        remedy: what the message adds where it has others.
        wanted: bands to read, from 0.

    Raises:
        BadFileError: if it can't be read, or is of another size.
    """
    numbers = [band + 1 for band in wanted]
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
            # GDAL calls the fourth of four bands of 8 bits alpha; here it is a band like any other.
            own_mask = not {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha} & {*dataset.mask_flag_enums[0]}
            return Raster(
                dataset.read(numbers),
                georeference,
                tuple(dataset.nodatavals[band] for band in wanted),
                dataset.read_masks(numbers) != 0 if own_mask else None,
                tuple(sorted({*zip(dataset.scales, dataset.offsets, strict=True)} - {(1.0, 0.0)})),
            )
    except (rasterio.errors.RasterioError, BadZipFile, OSError) as error:
        cause = str(error.__cause__ or error) or type(error).__name__
        # A member of a zip has another path in memory each time.
        cause = re.sub(r"/vsimem/[^\s:',]+", file.name, cause)
        raise BadFileError(f"{file}: can't be read ({cause}): truncated, or no TIFF; fetch it again") from error
