"""Cloud Optimized GeoTIFFs, written line by line."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp
from rasterio.shutil import copy

from firefusion_assets.core.atomic_files import write_atomically

Colour = tuple[int, int, int, int]
"""Red, green, blue and opacity."""

_BLOCK_CACHE: Final = 128 * 2**20
"""Bytes that GDAL may keep of decoded blocks; by itself it takes 5 % of the machine's memory."""


class CogWriter:
    """Takes the lines of a raster, from north to south; `write_cog` makes one.

    Args:
        dataset: rasterio's, open for writing.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def write(self, first: int, lines: npt.NDArray[Any]) -> None:
        """Write lines (bands, lines, width), of which the first is line `first` of the raster."""
        self._dataset.write(lines, window=((first, first + lines.shape[1]), (0, lines.shape[2])))


@contextmanager
def write_cog(
    path: Path,
    *,
    shape: tuple[int, int, int],
    dtype: str,
    crs: str | None,
    transform: Sequence[float],
    bands: Sequence[str],
    nodata: float | None = None,
    colours: Mapping[int, Colour] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[CogWriter]:
    """Yield what takes the lines of a raster; at the end of the block the file is there, whole or not at all.

    Args:
        path: the file.
        shape: bands, lines, samples.
        dtype: NumPy's name of the values' type.
        crs: coordinate reference system, or None.
        transform: six coefficients from (sample, line) to coordinates.
        bands: their names.
        nodata: value that means no data.
        colours: of the values of a single band of type uint8.
        tags: more to say of the whole file.
    """
    count, height, width = shape
    lines = path.with_name(f"{path.name}.lines.tif")
    with rasterio.Env(GDAL_CACHEMAX=_BLOCK_CACHE):
        try:
            with rasterio.open(
                lines,
                "w",
                driver="GTiff",
                count=count,
                height=height,
                width=width,
                dtype=dtype,
                nodata=nodata,
                crs=crs,
                transform=rasterio.Affine(*transform),
                compress="lzw",
                interleave="band",
                bigtiff="if_safer",
                sparse_ok=False,
                **({} if colours is not None else {"photometric": "minisblack"}),
            ) as dataset:
                for number, name in enumerate(bands, start=1):
                    dataset.set_band_description(number, name)
                if colours is not None:
                    dataset.write_colormap(1, colours)
                    dataset.colorinterp = [ColorInterp.palette]
                else:  # else GDAL takes three and four bands of bytes for a photograph, the fourth for its opacity
                    dataset.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * (count - 1)]
                dataset.update_tags(**(tags or {}))
                yield CogWriter(dataset)
            # What is counted in classes has no mean.
            resampling = "average" if np.dtype(dtype).kind == "f" else "nearest"
            write_atomically(
                path,
                lambda partial: copy(
                    lines,
                    partial,
                    driver="COG",
                    blocksize=min(512, -(-max(height, width) // 16) * 16),  # else small rasters are mostly padding
                    compress="deflate",
                    predictor="yes",
                    overview_resampling=resampling,
                    bigtiff="if_safer",
                ),
            )
        finally:
            lines.unlink(missing_ok=True)
