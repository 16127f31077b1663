"""Patches a second of the whole ingest from GeoTIFFs, against a plain loop; and what bounds the ingest of products."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest import mock

import lmdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from scipy.ndimage import gaussian_filter

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.core.seeding import generator
from firefusion_assets.ingest.base_store import ingest
from firefusion_assets.ingest.sources.listing import list_source
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.products.product import Product
from firefusion_assets.study import Study
from firefusion_assets_tests.builders.products import COLLECTION_2, write_product
from firefusion_assets_tests.builders.rasters import write_raster

_SIZE = 256
_PATCHES, _KINDS = 1200, 64
_RUNS = 5
_BANDS = ("B7", "B6", "B2")
_SCENE = 2560
_REFLECTANCE = {"B1": 0.13, "B2": 0.11, "B3": 0.10, "B4": 0.11, "B5": 0.22, "B6": 0.20, "B7": 0.13, "B9": 0.002}
_STORED: Final = {"crs": "EPSG:32616", "compress": "deflate", "predictor": 2}


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield patches a second of both ways, and of products the CPU seconds of reading and of all."""
    yield _patches()
    yield from _products()


def _patches() -> tuple[str, float, float]:
    """Compare medians of runs in turns, with the files in the page cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_patches(folder)
        seconds: dict[Callable[[Path, Path], None], list[float]] = {_ours: [], _plain: []}
        for run in range(_RUNS + 1):  # the first fills the page cache
            for way, measured in seconds.items():
                out = folder / f"out-{run}-{way.__name__}"
                out.mkdir()
                start = time.perf_counter()
                way(folder, out)
                measured.append(time.perf_counter() - start)
                shutil.rmtree(out)
        ours, plain = (_PATCHES / median(measured[1:]) for measured in seconds.values())
        cores = len(os.sched_getaffinity(0))
        return f"ingest of {_SIZE} px TIFFs on {cores} cores: patches/s (loop)", ours, plain


def _products() -> Iterator[tuple[str, float, float]]:
    """Ingest a product of ten bands in one process: how much of its time GDAL reads and decompresses."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_product(
            folder / "products", COLLECTION_2, _scene(), tiled=True, blockxsize=256, blockysize=256,
            compress="deflate", predictor=2,
        )  # fmt: skip
        read = Product.read
        for labels in ("voting", "murphy"):
            dataset = {"source": "landsat", "products": "products", "labels": labels}
            study = Study.model_validate({"name": "bench", "dataset": dataset, "training": {"bands": ["B7"]}})
            source = list_source(study, folder, ArtifactStore(folder / "artifacts"), lambda line: None)
            shares = []
            for run in range(_RUNS):
                out = folder / f"{labels}-{run}"
                out.mkdir()
                spent = [0.0]

                def timed(*arguments: Any, spent: list[float] = spent) -> npt.NDArray[np.uint16]:
                    start = time.process_time()
                    lines = read(*arguments)
                    spent[0] += time.process_time() - start
                    return lines

                with mock.patch.object(Product, "read", timed):
                    start = time.process_time()
                    ingest(study, source, out, lambda line: None)
                    shares.append((spent[0], time.process_time() - start))
                shutil.rmtree(out)
            reading, whole = sorted(shares, key=lambda pair: pair[0] / pair[1])[_RUNS // 2]
            yield f"ingest of a product, {labels}: CPU s of reading (of all)", reading, whole


def _ours(folder: Path, out: Path) -> None:
    dataset = {"source": "activefire", "images": "images", "masks": "masks", "bands": list(_BANDS)}
    study = Study.model_validate({"name": "bench", "dataset": dataset, "training": {"bands": ["B7"]}})
    source = list_source(study, folder, ArtifactStore(folder / "artifacts"), lambda line: None)
    ingest(study, source, out, lambda line: None)


def _plain(folder: Path, out: Path) -> None:
    """Read and store one patch after the other, as they are: no checks, no clouds, no checksums."""
    numbers = [FILE_BANDS.index(band) + 1 for band in _BANDS]
    rows = []
    with lmdb.open(str(out / "plain"), map_size=2**36) as env, env.begin(write=True) as transaction:
        for path in sorted((folder / "images").iterdir()):
            with rasterio.open(path) as file:
                bands, crs, bounds = file.read(numbers), str(file.crs), file.bounds
            mask_path = folder / "masks" / path.name.replace("_p", "_v1_p")
            mask = np.zeros((_SIZE, _SIZE), np.uint8)
            if mask_path.exists():
                with rasterio.open(mask_path) as file:
                    mask = file.read(1)
            transaction.put(path.stem.encode(), bands.tobytes() + mask.tobytes())
            rows.append({"patch_id": path.stem, "fire_pixels": int(mask.sum()), "crs": crs, **bounds._asdict()})
    pd.DataFrame(rows).to_parquet(out / "patches.parquet", index=False)


def _write_patches(folder: Path) -> None:
    """Write patches as the data set stores them, few again under many names, and masks for one in hundred."""
    images: list[Path] = []
    fire = np.zeros((1, _SIZE, _SIZE), np.uint8)
    fire[0, 100:104, 120:130] = 1
    for number in range(_PATCHES):
        scene, patch = f"LC08_L1TP_{1 + number // 100:03d}039_20200804_20200804_01_T1", f"p{number % 100 + 1:05d}"
        image = folder / "images" / f"{scene}_{patch}.tif"
        if number < _KINDS:
            # One line of all bands is compressed at once.
            write_raster(image, _landscape(number), **_STORED, blockysize=1, interleave="pixel")
            images.append(image)
        else:
            image.hardlink_to(images[number % _KINDS])
        if number % 100 == 0:
            write_raster(folder / "masks" / f"{scene}_v1_{patch}.tif", fire, **_STORED)


def _landscape(seed: int) -> npt.NDArray[np.uint16]:
    """Return a patch of ten bands that compresses as little as real ones do, to about four fifths."""
    rng = generator(seed, "ingest benchmark")
    ground = gaussian_filter(rng.standard_normal((_SIZE, _SIZE)), 6)
    noise = 180 * rng.standard_normal((len(FILE_BANDS), _SIZE, _SIZE))
    return (9_000 + 1_500 * ground / ground.std() + noise).clip(1, 65_535).astype(np.uint16)


def _scene() -> dict[str, npt.NDArray[np.uint16]]:
    """Return the bands of a product: noisy ground, clouds, and a fire of some hundred pixels."""
    rng = generator(0, "ingest benchmark", "scene")
    ground = gaussian_filter(rng.standard_normal((_SCENE, _SCENE)), 8)
    ground /= ground.std()
    burns = np.zeros(ground.shape, np.bool_)
    burns[700:1000, 1500:1800] = rng.random((300, 300)) < 0.004
    planes = {}
    for band in FILE_BANDS:
        reflectance = _REFLECTANCE.get(band, 0.4) * (1 + 0.15 * ground)
        reflectance += 0.004 * rng.standard_normal(ground.shape) + (0.4 * burns if band == "B7" else 0)
        planes[band] = np.clip((reflectance + 0.1) / 2e-5, 1, 65_535).astype(np.uint16)
    cloudy, clear = 22_280, 21_824
    planes["QA_PIXEL"] = np.where(ground > 1.5, cloudy, clear).astype(np.uint16)
    planes["QA_RADSAT"] = np.zeros(ground.shape, np.uint16)
    return planes
