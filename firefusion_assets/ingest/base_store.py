"""Raw patches into the base store: read and checked one at a time. Whole products: `ingest_products`.

Threads read ahead, since rasterio and numpy let others run; patches are written in the inputs' order. Memory holds
three patches a thread and one small table row for each, whatever their number.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from firefusion_assets.core.folders import some_of
from firefusion_assets.core.prefetch import ahead
from firefusion_assets.core.processes import usable_cores
from firefusion_assets.ingest.patch_files import Expected, Kind, checked_patch, read_files
from firefusion_assets.ingest.patch_table import Taken, patch_row
from firefusion_assets.ingest.product_patches import take_products
from firefusion_assets.ingest.rasters import DN_MAX, BadFileError
from firefusion_assets.ingest.sources.patch_inputs import BadInputError, SourceListing
from firefusion_assets.ingest.sources.products import ProductListing
from firefusion_assets.patchstore import PatchWriter, StoreMeta
from firefusion_assets.study.models import Study
from firefusion_assets.study.source import Listing

BASE_STORE = "base.lmdb"
TABLE = "patches.parquet"
BAD_FILES = "bad_files.csv"
_MOST_THREADS: Final = 8
"""More would read faster than one thread checks and writes."""


def ingest(study: Study, source: Listing, folder: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
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
    meta = StoreMeta(study=study.name, bands=dataset.bands, patch_size=dataset.patch_size)
    with PatchWriter(folder / BASE_STORE, meta) as writer:
        if isinstance(source, ProductListing):
            taken = take_products(source, writer, folder, progress)
        elif isinstance(source, SourceListing):
            taken = _take_files(study, source, writer, progress)
        else:
            raise TypeError(f"source {dataset.source} lists {type(source).__name__}; return a SourceListing")
    problems = source.problems + taken.problems
    pd.DataFrame({"problem": problems}).to_csv(folder / BAD_FILES, index=False)
    if problems and (dataset.on_bad_input == "fail" or not taken.rows):
        raise BadInputError(problems, skipped=dataset.on_bad_input == "skip")
    facts = {
        "n_empty_patches": taken.n_empty,
        "empty_bands": dict(sorted(taken.empty_bands.items())),
        "n_without_mask": source.without_mask if isinstance(source, SourceListing) else 0,
        "unread_files": source.unread if isinstance(source, SourceListing) else [],
    }
    for line in left_out(facts):
        progress(line)
    if not taken.rows:
        raise BadInputError(["no patch holds data", *left_out(facts)])
    table = pd.DataFrame(taken.rows)
    table.to_parquet(folder / TABLE, index=False)
    return {
        "n_patches": len(table),
        "n_scenes": int(table["scene"].nunique()),
        "n_fire_patches": int((table["fire_pixels"] > 0).sum()),
        "fire_pixels": int(table["fire_pixels"].sum()),
        "n_bad_files": len(problems),
        "bad_files": problems[:50],
        "simulated": dataset.simulated,
        **facts,
    }


def left_out(facts: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that a base store leaves out or takes for granted.

    Args:
        facts: of the object of `landsat_patches`.
    """
    lines = []
    if n_empty := facts.get("n_empty_patches"):
        bands = ", ".join(f"{band} of {count}" for band, count in facts.get("empty_bands", {}).items())
        remedy = f" (band {bands} holds nothing: leave it out of dataset.bands, or repair the files)" if bands else ""
        lines.append(f"{n_empty} patches left out: every pixel is fill{remedy}")
    if n_without_mask := facts.get("n_without_mask"):
        lines.append(f"{n_without_mask} images without a mask count as event-free (dataset.missing_mask)")
    if unread := facts.get("unread_files"):
        lines.append(f"{len(unread)} files are no GeoTIFF and not read: {some_of(unread)}")
    return lines


def _take_files(study: Study, source: SourceListing, writer: PatchWriter, progress: Callable[[str], None]) -> Taken:
    dataset = study.dataset
    expected = Expected(
        dataset.patch_size,
        source.file_bands,
        dataset.bands,
        dataset.landsat,
        dataset.sun_elevation,
        source.mask_ignore,
    )
    taken, kinds = Taken(), dict[Kind, list[str]]()
    threads = min(usable_cores(), _MOST_THREADS)
    read = partial(read_files, expected=expected)
    with ThreadPoolExecutor(threads) as pool, closing(ahead(pool, read, source.inputs, 2 * threads)) as readings:
        for number, (item, reading) in enumerate(zip(source.inputs, readings, strict=True)):
            if number % 500 == 0:
                progress(f"reading patch {number} of {len(source.inputs)}")
            try:
                patch, place, kind, empty_bands = checked_patch(item, *reading.result(), expected)
            except BadFileError as error:
                taken.problems.append(str(error))
                continue
            kinds.setdefault(kind, []).append(str(item.image))
            if patch.ignore.all():
                taken.n_empty += 1
                taken.empty_bands.update(empty_bands)
                continue
            writer.add_patch(item.patch_id, patch)
            image, mask = (str(file).removeprefix(source.moves) if file else None for file in (item.image, item.mask))
            taken.rows.append(patch_row(item, patch, place, str(image), mask))
    # All files are read by now; the meta is written last.
    writer.meta = writer.meta.model_copy(update={"dn_max": _dn_max(kinds)})
    return taken


def _dn_max(kinds: Mapping[Kind, list[str]]) -> int:
    """Return the largest DN that the images' integer types can hold, as far as the store can.

    Raises:
        BadInputError: if values of some images mean something else than those of others.
    """
    if len({(kind.scaling, kind.dtype == "uint8") for kind in kinds}) > 1:
        raise BadInputError(
            [f"{files[0]}: {kind}, as {len(files)} of the images are" for kind, files in kinds.items()],
            remedy="One DN would mean different things: convert all images to one type and scale.",
        )
    return max((min(DN_MAX, np.iinfo(kind.dtype).max) for kind in kinds), default=DN_MAX)
