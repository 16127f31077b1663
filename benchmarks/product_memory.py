"""Memory and time of cutting a whole scene of ten bands, and of its ingest, against a loop that holds all of it."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.core.seeding import generator
from firefusion_assets.ingest.base_store import ingest
from firefusion_assets.ingest.cutting import strips
from firefusion_assets.ingest.sources.listing import list_source
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.products.product import find_products, open_product
from firefusion_assets.study import Study
from firefusion_assets_tests.builders.memory import watched_rss_anon
from firefusion_assets_tests.builders.products import COLLECTION_2, pack_product, write_product

HEIGHT, WIDTH = 7_600, 7_700
_PATCH = 256


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield the peak RssAnon in MiB and the seconds for one product in a tar, by windows, with labels, and held."""
    with tempfile.TemporaryDirectory() as folder:
        tar = write_scene(Path(folder))
        figures = {}
        for step in ("windows", "ingest", "held"):
            command = [sys.executable, "-m", __spec__.name, step, str(tar)]
            words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            figures[step] = [float(word) for word in words[-2:]]
    for name, ours, baseline in zip(("peak RssAnon MiB", "s"), figures["windows"], figures["held"], strict=True):
        yield f"cutting a product of ten bands, {name} (baseline: held)", ours, baseline
    yield "its ingest, labels by voting, peak RssAnon MiB (2 GB)", figures["ingest"][0], 2048.0


def write_scene(folder: Path) -> Path:
    """Write a product of 7,600 x 7,700 px in tiles, as Collection 2 has them, without ever holding a band."""
    tile = generator(0, "product_memory").integers(6_000, 6_256, (_PATCH, _PATCH)).astype(np.uint16)
    product = write_product(folder, COLLECTION_2, {})
    for band in (*FILE_BANDS, "QA_PIXEL", "QA_RADSAT"):
        with rasterio.open(
            product / f"{COLLECTION_2}_{band}.TIF", "w", driver="GTiff", count=1, height=HEIGHT, width=WIDTH,
            dtype="uint16", crs="EPSG:32616", transform=rasterio.Affine(30, 0, 4e5, 0, -30, 3e6),
            tiled=True, blockxsize=_PATCH, blockysize=_PATCH, compress="deflate", zlevel=1,
        ) as file:  # fmt: skip
            for _, window in file.block_windows(1):
                file.write(tile[: window.height, : window.width], 1, window=window)
    return pack_product(product, ".tar")


def _cut_held(tar: Path) -> int:
    """Cut as one would without windows: the scene as an array, then its tiles."""
    ((files,), _) = find_products(tar)
    with open_product(files) as product:
        scene = product.read(FILE_BANDS, 0, product.height)
    tiles = (
        scene[:, top : top + _PATCH, left : left + _PATCH].copy()
        for left in range(0, WIDTH, _PATCH)
        for top in range(0, HEIGHT, _PATCH)
    )
    return sum(1 for tile in tiles if tile[0].any())


def _ingest(tar: Path) -> int:
    """Store the product as `landsat_patches` does, in this process."""
    dataset = {"source": "landsat", "products": tar}
    study = Study.model_validate({"name": "bench", "dataset": dataset, "training": {"bands": ["B7"]}})
    with tempfile.TemporaryDirectory() as out:
        source = list_source(study, tar.parent, ArtifactStore(Path(out) / "artifacts"), lambda line: None)
        return int(ingest(study, source, Path(out), lambda line: None)["n_patches"])


def _run(step: str, tar: Path) -> None:
    start = time.perf_counter()
    with watched_rss_anon() as peak:
        if step == "held":
            n_patches = _cut_held(tar)
        elif step == "ingest":
            n_patches = _ingest(tar)
        else:
            ((files,), _) = find_products(tar)
            with open_product(files) as product:
                n_patches = sum(1 for strip in strips(product, FILE_BANDS, _PATCH) for _ in strip.patches(FILE_BANDS))
    seconds = time.perf_counter() - start
    if n_patches != -(-HEIGHT // _PATCH) * -(-WIDTH // _PATCH):
        raise AssertionError(f"{n_patches} patches")
    print(peak.mib, seconds)


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]))
