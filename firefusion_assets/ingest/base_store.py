"""Raw patches into the base store: read and checked one at a time. Whole products: `ingest_products`.

Threads read ahead, since rasterio and numpy let others run; patches are written in the inputs' order. Memory holds
three patches a thread and one small table row for each, whatever their number.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import rasterio

from firefusion_assets.core.prefetch import ahead
from firefusion_assets.ingest.patch_files import BadFileError, Expected, checked_patch, read_files
from firefusion_assets.ingest.patch_table import Taken, patch_row
from firefusion_assets.ingest.product_patches import take_products
from firefusion_assets.ingest.sources.patch_inputs import BadInputError, SourceListing
from firefusion_assets.ingest.sources.products import ProductListing
from firefusion_assets.patchstore import PatchWriter, StoreMeta
from firefusion_assets.study.models import Study

BASE_STORE = "base.lmdb"
TABLE = "patches.parquet"
BAD_FILES = "bad_files.csv"
_MOST_THREADS: Final = 8
"""More would read faster than one thread checks and writes."""


def ingest(
    study: Study, source: SourceListing | ProductListing, folder: Path, progress: Callable[[str], None]
) -> Mapping[str, Any]:
    """Write the base store, the table of patches and the list of bad files.

    Args:
        study: its data set settings say what the patches look like.
        source: the inputs.
        folder: where `base.lmdb`, `patches.parquet` and `bad_files.csv` are written.
        progress: called with lines on how far it is.

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
        raise BadInputError(problems, skipped=dataset.on_bad_input == "skip")
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
    expected = Expected(
        dataset.patch_size,
        source.file_bands,
        dataset.bands,
        dataset.source != "folder",
        dataset.sun_elevation,
    )
    taken = Taken()
    threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    read = partial(read_files, expected=expected)
    with ThreadPoolExecutor(threads) as pool, closing(ahead(pool, read, source.inputs, 2 * threads)) as readings:
        for number, (item, reading) in enumerate(zip(source.inputs, readings, strict=True)):
            if number % 500 == 0:
                progress(f"reading patch {number} of {len(source.inputs)}")
            try:
                patch, place = checked_patch(item, *reading.result(), expected)
            except BadFileError as error:
                taken.problems.append(str(error))
                continue
            if patch.ignore.all():
                taken.n_empty += 1
                continue
            writer.add_patch(item.patch_id, patch)
            taken.rows.append(patch_row(item, patch, place, str(item.image), str(item.mask) if item.mask else None))
    return taken


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
