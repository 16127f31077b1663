"""Raw patches into the base store: read, checked and written one at a time. Whole products: `ingest_products`.

Memory holds one patch and one small table row for each, whatever their number.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio

from firefusion_assets.landsat.ingest_products import take_products
from firefusion_assets.landsat.patch_table import Georeference, Taken, patch_row
from firefusion_assets.landsat.sources.files import RasterFile
from firefusion_assets.landsat.sources.inputs import BadInputError, PatchInput, SourceListing
from firefusion_assets.landsat.sources.products import ProductListing
from firefusion_assets.patchstore import Patch, PatchWriter, StoreMeta
from firefusion_assets.study.models import Study

BASE_STORE = "base.lmdb"
TABLE = "patches.parquet"
BAD_FILES = "bad_files.csv"


class _BadFileError(ValueError):
    """One file that can't be used."""


@dataclass(frozen=True)
class _Expected:
    """What the patches of a study have to look like."""

    patch_size: int
    file_bands: tuple[str, ...]
    band_numbers: list[int]
    landsat: bool
    sun_elevation: float | None


class _Raster(NamedTuple):
    """A file's array (bands, height, width), where it lies, and what it fills with, if it says so."""

    array: npt.NDArray[Any]
    georeference: Georeference
    nodata: float | None


def ingest(
    study: Study, source: SourceListing | ProductListing, folder: Path, progress: Callable[[str], None]
) -> Mapping[str, Any]:
    """Write the base store, the table of patches and the list of bad files.

    Args:
        study: its data set settings say what the patches look like.
        source: the inputs.
        folder: where `base.lmdb`, `patches.parquet` and `bad_files.csv` are written.
        progress: told how far it is.

    Returns:
        Facts for the data report: counts of patches, scenes, fire patches and pixels, bad files.

    Raises:
        BadInputError: with every bad file, unless the study skips them; or if nothing is left.
    """
    dataset = study.dataset
    meta = StoreMeta(study=study.name, bands=dataset.bands, patch_size=dataset.patch_size, dn_max=_dn_max(source))
    with PatchWriter(folder / BASE_STORE, meta) as writer:
        if isinstance(source, ProductListing):
            taken = take_products(source, writer, folder, progress)
        else:
            taken = _take_files(study, source, writer, progress)
    problems = source.problems + taken.problems
    pd.DataFrame({"problem": problems}).to_csv(folder / BAD_FILES, index=False)
    if problems and (dataset.on_bad_input == "fail" or not taken.rows):
        raise BadInputError(problems)
    if not taken.rows:
        raise BadInputError(["no patch holds data: every pixel of every patch is fill"])
    table = pd.DataFrame(taken.rows)
    table.to_parquet(folder / TABLE, index=False)
    return {
        "n_patches": len(table),
        "n_scenes": int(table["scene"].nunique()),
        "n_fire_patches": int((table["fire_pixels"] > 0).sum()),
        "fire_pixels": int(table["fire_pixels"].sum()),
        "n_empty_patches": taken.n_empty,
        "n_bad_files": len(problems),
        "bad_files": problems[:50],
        "simulated": dataset.source == "simulated",
    }


def _take_files(study: Study, source: SourceListing, writer: PatchWriter, progress: Callable[[str], None]) -> Taken:
    dataset = study.dataset
    expected = _Expected(
        dataset.patch_size,
        source.file_bands,
        [source.file_bands.index(band) + 1 for band in dataset.bands],
        dataset.source != "folder",
        dataset.sun_elevation,
    )
    taken = Taken()
    for number, item in enumerate(source.inputs):
        if number % 500 == 0:
            progress(f"reading patch {number} of {len(source.inputs)}")
        try:
            patch, place = _read(item, expected)
        except _BadFileError as error:
            taken.problems.append(str(error))
            continue
        if patch.ignore.all():
            taken.n_empty += 1
            continue
        writer.add_patch(item.patch_id, patch)
        taken.rows.append(patch_row(item, patch, place, str(item.image), str(item.mask) if item.mask else None))
    return taken


def _read(item: PatchInput, expected: _Expected) -> tuple[Patch, dict[str, Any]]:
    size = expected.patch_size
    image, georeference, nodata = _read_raster(item.image)
    n_bands = len(expected.file_bands)
    if image.shape != (n_bands, size, size):
        raise _BadFileError(
            f"{item.image}: is {image.shape[1]} x {image.shape[2]} px with {image.shape[0]} bands, expected "
            f"{size} x {size} px with {n_bands} bands ({', '.join(expected.file_bands)}); mend dataset.patch_size "
            "or the file's bands"
        )
    if expected.landsat and image.dtype != np.uint16:
        raise _BadFileError(f"{item.image}: is of type {image.dtype}, Landsat DN are uint16")
    if not np.issubdtype(image.dtype, np.integer) or image.min() < 0 or image.max() > 65535:
        raise _BadFileError(
            f"{item.image}: holds {image.dtype} from {image.min()} to {image.max()}; the store takes integers from "
            "0 to 65535, scale them first"
        )
    bands = image[[number - 1 for number in expected.band_numbers]].astype(np.uint16)
    ignore = _nodata(bands, nodata, expected.landsat)
    bands[:, ignore] = 0  # whatever the file fills with, the store fills with 0
    label = np.zeros((size, size), bool)
    if item.mask is not None:
        mask, mask_reference, _ = _read_raster(item.mask)
        if mask.shape != (1, size, size):
            raise _BadFileError(f"{item.mask}: is {mask.shape} (bands, height, width), expected (1, {size}, {size})")
        if expected.landsat and mask.max() > 1:
            raise _BadFileError(f"{item.mask}: holds values up to {mask.max()}, a mask is 0 or 1")
        both = georeference.crs and mask_reference.crs
        if both and georeference.transform != mask_reference.transform:
            raise _BadFileError(f"{item.mask}: lies elsewhere than its image (other geotransform)")
        label = (mask[0] != 0) & ~ignore
    return Patch(bands, label, ignore), georeference.place(item.acquired, expected.sun_elevation, expected.landsat)


def _read_raster(file: RasterFile) -> _Raster:
    try:
        with file.open() as dataset:
            georeference = Georeference(
                crs=dataset.crs.to_string() if dataset.crs else None,
                transform=tuple(dataset.transform)[:6],
                bounds=tuple(dataset.bounds),
            )
            return _Raster(dataset.read(), georeference, dataset.nodata)
    except (rasterio.errors.RasterioError, BadZipFile, OSError) as error:
        raise _BadFileError(
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


def _dn_max(source: SourceListing | ProductListing) -> int:
    """Return the largest DN that the images' integer type can hold, as far as the store can."""
    for item in source.inputs if isinstance(source, SourceListing) else ():
        try:
            with item.image.open() as dataset:
                dtype = np.dtype(dataset.dtypes[0])
                return int(min(65535, np.iinfo(dtype).max)) if np.issubdtype(dtype, np.integer) else 65535
        except (rasterio.errors.RasterioError, BadZipFile, OSError):
            continue
    return 65535
