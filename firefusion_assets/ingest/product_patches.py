"""Products into the base store: cut into patches, labelled by a detector, several products at once.

Damage inside a product shows only where it is read, and then none of its patches may stay. So a process writes the
patches of each product to a plain file first, and they are stored when the product was read to its end. That costs
less than reading every product twice, and lets one writer keep the products' order however many processes there are.
Each holds two rows of patches in memory; on disk there are at most as many such files as processes, and two more.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from firefusion_assets.core.processes import usable_cores
from firefusion_assets.core.workers import Workers
from firefusion_assets.ingest.cutting import ProductPatch, Strip, strips
from firefusion_assets.ingest.patch_table import Georeference, Taken, patch_row
from firefusion_assets.ingest.sources.patch_inputs import PatchOrigin
from firefusion_assets.ingest.sources.products import ProductListing
from firefusion_assets.landsat.bands import CONDITION_BANDS
from firefusion_assets.landsat.conditions import CIRRUS_BAND, condition_columns
from firefusion_assets.landsat.detectors import DETECTOR_BANDS, Mask, detect
from firefusion_assets.landsat.fire_rules import REACH
from firefusion_assets.landsat.products.naming import ProductError
from firefusion_assets.landsat.products.product import Product, ProductFiles, open_product
from firefusion_assets.patchstore import Patch, PatchWriter, StoreMeta

_CUT: Final = "products"
_PROCESS_MEMORY: Final = 2**30
"""Bytes that a process may take; cutting a whole scene of ten bands takes about half of it."""


@dataclass(frozen=True)
class _Job:
    """One product to cut; whatever that needs on disk lies in `folder`."""

    files: ProductFiles
    folder: Path
    meta: StoreMeta
    labels: str
    sun_elevation: float | None

    @property
    def file(self) -> Path:
        return self.folder / "patches"

    @property
    def record(self) -> np.dtype[np.void]:
        """How a patch lies in the file."""
        size = (self.meta.patch_size, self.meta.patch_size)
        bands = (len(self.meta.bands), *size)
        return np.dtype([("bands", np.uint16, bands), ("label", np.bool_, size), ("ignore", np.bool_, size)])


@dataclass
class _Cut:
    """What cutting a product gave: place in the file and row of each patch, sorted by patch id; or its problems."""

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_empty: int = 0
    empty_bands: Counter[str] = field(default_factory=Counter)


def take_products(source: ProductListing, writer: PatchWriter, folder: Path, progress: Callable[[str], None]) -> Taken:
    """Cut all products into a base store; one that can't be used leaves no patch in it, but its problems.

    There are as many processes as usable cores, if memory allows; the store's bytes don't depend on their number.

    Args:
        source: the products.
        writer: of the base store.
        folder: where there is room for the products that are being cut.
        progress: called with lines on how far it is.

    Raises:
        OSError: if the disk is full.
        WorkerError: if a process was killed.
    """
    cut_products = folder / _CUT
    shutil.rmtree(cut_products, ignore_errors=True)  # of an attempt that was killed
    dataset = source.dataset
    jobs = [
        _Job(files, cut_products / files.id.scene.scene, writer.meta, dataset.labels, dataset.sun_elevation)
        for files in source.products
    ]
    taken = Taken()
    try:
        with closing(_cut_all(jobs, progress)) as cuts:
            for number, (job, cut) in enumerate(zip(jobs, cuts, strict=True), 1):
                _store(job, cut, writer)
                taken.rows += (row for _, row in cut.rows)
                taken.n_empty += cut.n_empty
                taken.empty_bands += cut.empty_bands
                taken.problems += cut.problems
                shutil.rmtree(job.folder)
                outcome = f"{len(cut.problems)} problems" if cut.problems else f"{len(cut.rows)} patches"
                progress(f"product {number} of {len(jobs)}, {job.files.id}: {outcome}")
    finally:
        shutil.rmtree(cut_products, ignore_errors=True)
    return taken


def _store(job: _Job, cut: _Cut, writer: PatchWriter) -> None:
    if not cut.rows:
        return  # an empty file can't be mapped
    records = np.memmap(job.file, job.record, "r")
    for place, row in cut.rows:
        record = records[place]
        writer.add_patch(row["patch_id"], Patch(record["bands"], record["label"], record["ignore"]))


def _cut_all(jobs: Sequence[_Job], progress: Callable[[str], None]) -> Generator[_Cut, None, None]:
    """Yield what each job gave, in their order; a single process is this one."""
    affordable = psutil.virtual_memory().available // _PROCESS_MEMORY
    workers = min(len(jobs), usable_cores(), affordable)
    if workers < 2:
        yield from map(_cut, jobs)
        return
    with Workers(workers, _cutter, _name, progress) as cutters:
        # One more than processes has work while the first is taken over; no more, for the disk's sake.
        yield from cutters.in_order(jobs, workers)


def _name(job: _Job) -> str:
    return f"cutting of product {job.files.id}"


def _cutter(slot: int) -> Callable[[_Job, Callable[[str], None]], _Cut]:
    return lambda job, progress: _cut(job)


def _cut(job: _Job) -> _Cut:
    """Write a product's patches to its file."""
    job.folder.mkdir(parents=True)
    labelled = tuple(dict.fromkeys((*job.meta.bands, *DETECTOR_BANDS[job.labels])))
    conditions = (*CONDITION_BANDS, CIRRUS_BAND)
    done = _Cut()
    try:
        with (
            open_product(job.files, labelled, scratch=job.folder, optional=conditions) as product,
            job.file.open("wb") as file,
        ):
            # Quality bands of Collection 2 tell all of it, water too.
            more = (
                () if "QA_PIXEL" in product.quality_roles else (band for band in conditions if band in product.rasters)
            )
            bands = tuple(dict.fromkeys((*labelled, *more)))
            elevation = job.sun_elevation or product.metadata.sun_elevation
            for strip in strips(product, bands, job.meta.patch_size, margin=REACH):
                fire = _detected(strip, job.labels, elevation)
                for cut in strip.patches(bands):
                    patch = _stored(cut, strip.tile(fire, cut.column), len(job.meta.bands), len(labelled))
                    if patch.ignore.all():
                        done.n_empty += 1
                        done.empty_bands.update(
                            band for band, plane in zip(labelled, cut.bands, strict=False) if not plane.any()
                        )
                        continue
                    for array in (patch.bands, patch.label, patch.ignore):
                        file.write(array.tobytes())
                    done.rows.append((len(done.rows), _row(product, cut, patch, bands, elevation)))
    except ProductError as error:
        return _Cut(problems=error.problems)
    except PermissionError as error:
        return _Cut(problems=[f"{error.filename or job.files}: may not be read; change its permissions"])
    done.rows.sort(key=lambda placed: str(placed[1]["patch_id"]))
    return done


def _detected(strip: Strip, labels: str, elevation: float) -> Mask:
    """Return bool (lines, width): fire in a strip, with the constants of its product."""
    quality = strip.quality()
    saturated = quality.saturated if quality else None
    calibration = strip.product.metadata.reflectance
    return detect([labels], strip.bands, elevation, saturated=saturated, calibration=calibration)[labels]


def _stored(cut: ProductPatch, fire: Mask, n_bands: int, n_labelled: int) -> Patch:
    """Return what is kept of a patch: its first bands, and no label where a band is fill that the label needs."""
    ignore = (cut.bands[:n_labelled] == 0).any(0)
    bands = cut.bands[:n_bands].copy()
    bands[:, ignore] = 0
    return Patch(bands, fire & ~ignore, ignore)


def _row(product: Product, cut: ProductPatch, patch: Patch, bands: tuple[str, ...], elevation: float) -> dict[str, Any]:
    name = cut.name
    origin = PatchOrigin(patch_id=str(name), scene=name.scene, path=name.path, row=name.row, acquired=name.acquired)
    place = Georeference(cut.crs, cut.transform, cut.bounds).place(name.acquired, elevation, landsat=True)
    planes, calibration = dict(zip(bands, cut.bands, strict=True)), product.metadata.reflectance
    conditions = condition_columns(planes, ~patch.ignore, elevation, cut.quality, calibration)
    return patch_row(origin, patch, place, str(product.files), None) | conditions
