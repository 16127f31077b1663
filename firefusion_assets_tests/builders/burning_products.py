"""Products with fires that every detector sees, on plain ground, in all generations: small, and far from each other."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

from firefusion_assets.core.seeding import generator
from firefusion_assets.landsat.bands import FILE_BANDS, THERMAL_BANDS
from firefusion_assets.landsat.products.naming import Generation, ProductId
from firefusion_assets_tests.builders.products import TRANSFORM, Planes, pack_product, write_product

SIX_PRODUCTS = (
    "LC80100292014257LGN01",
    "LC08_L1TP_020030_20200914_20200920_01_T1",
    "LC08_L1TP_030031_20200915_20200920_01_RT",
    "LC08_L1TP_040032_20210914_20210920_02_T1",
    "LC09_L1TP_050033_20220725_20230406_02_T1",
    "LC80600342015216LGN00",
)
"""Sorted by path, and by the names of their scenes but for the spacecraft."""

HEIGHT, WIDTH = 70, 90
_GROUND = {"B5": 14_000, "B9": 5_100} | dict.fromkeys(THERMAL_BANDS, 25_000)
_CLEAR = {Generation.BEFORE_COLLECTIONS: 20480, Generation.COLLECTION_1: 2720, Generation.COLLECTION_2: 21824}
_CLOUD = {Generation.BEFORE_COLLECTIONS: 53248, Generation.COLLECTION_1: 2800, Generation.COLLECTION_2: 22280}


def fires() -> npt.NDArray[np.bool_]:
    """Where fire is in each product, bool (70, 90): also across the borders of patches of 32 px."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    for top, left in ((8, 8), (30, 45), (50, 62)):
        mask[top : top + 4, left : left + 5] = True
    return mask


def burning_planes(product_id: str) -> Planes:
    """Noisy green ground with `fires`: 0.5 % of each pixel at about 1,000 K.

    A cloud of 16 x 32 px at the upper right, of which the quality band alone tells.
    """
    generation = ProductId.parse(product_id).generation
    rng = generator(0, "burning", product_id)
    planes = {band: rng.normal(_GROUND.get(band, 9_000), 60, (HEIGHT, WIDTH)).astype(np.uint16) for band in FILE_BANDS}
    planes["B6"][fires()] += 10_500
    planes["B7"][fires()] += 32_700
    conditions = np.full((HEIGHT, WIDTH), _CLEAR[generation], np.uint16)
    conditions[:16, 32:64] = _CLOUD[generation]
    if generation is Generation.COLLECTION_2:
        return planes | {"QA_PIXEL": conditions, "QA_RADSAT": np.zeros_like(conditions)}
    return planes | {"BQA": conditions}


def write_six_products(folder: Path) -> list[Path]:
    """Write `SIX_PRODUCTS`, 200 km from one to the next; the third is a tar, the fourth has a JSON for its MTL."""
    paths = []
    for number, product_id in enumerate(SIX_PRODUCTS):
        transform = TRANSFORM @ rasterio.Affine.translation(0, number * 200_000 / 30)
        mtl = "json" if number == 3 else "txt"
        stored = {"transform": transform, "blockysize": 8}
        paths.append(write_product(folder, product_id, burning_planes(product_id), mtl, **stored))
    paths[2] = packed(paths[2], ".tar")
    return paths


def packed(product: Path, ending: str) -> Path:
    """Put a tar in the place of a product's folder."""
    tar = pack_product(product, ending)
    for file in product.iterdir():
        file.unlink()
    product.rmdir()
    return tar
