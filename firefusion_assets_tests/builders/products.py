"""Small level-1 products for tests, in the three generations of names: real GeoTIFFs and real MTLs."""

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

from firefusion_assets.core.seeding import generator
from firefusion_assets.landsat.bands import FILE_BANDS, THERMAL_BANDS
from firefusion_assets.landsat.products.naming import Generation, ProductId

BEFORE_COLLECTIONS = "LC81930292014257LGN01"
COLLECTION_1 = "LC08_L1TP_099069_20200914_20200920_01_T1"
COLLECTION_2 = "LC09_L1TP_204033_20220725_20230406_02_T1"
GENERATIONS = (BEFORE_COLLECTIONS, COLLECTION_1, COLLECTION_2)

TRANSFORM = rasterio.Affine(30, 0, 452_475, 0, -30, 3_408_645)
SUN_ELEVATION = 52.25

CONSTANTS = {
    "LANDSAT_8": {"RADIANCE_MULT_BAND_10": "3.3420E-04", "RADIANCE_MULT_BAND_11": "3.3420E-04",
                  "K1_CONSTANT_BAND_10": "774.8853", "K2_CONSTANT_BAND_10": "1321.0789",
                  "K1_CONSTANT_BAND_11": "480.8883", "K2_CONSTANT_BAND_11": "1201.1442"},
    "LANDSAT_9": {"RADIANCE_MULT_BAND_10": "3.8000E-04", "RADIANCE_MULT_BAND_11": "3.4900E-04",
                  "K1_CONSTANT_BAND_10": "799.0284", "K2_CONSTANT_BAND_10": "1329.2405",
                  "K1_CONSTANT_BAND_11": "475.6581", "K2_CONSTANT_BAND_11": "1198.3494"},
}  # fmt: skip

Planes = dict[str, npt.NDArray[np.uint16]]


def seeded_planes(product_id: str, seed: int, height: int, width: int) -> Planes:
    """Bands and the quality bands of the product's generation: every DN drawn, every quality bit in use."""
    rng = generator(seed, "product", product_id)
    generation = ProductId.parse(product_id).generation
    quality = ("QA_PIXEL", "QA_RADSAT") if generation is Generation.COLLECTION_2 else ("BQA",)
    return {name: rng.integers(1, 65536, (height, width)).astype(np.uint16) for name in (*FILE_BANDS, *quality)}


def mtl_fields(product_id: str) -> dict[str, dict[str, str]]:
    """What the MTL of a product says, by group, as the product's generation groups it."""
    product = ProductId.parse(product_id)
    image = {
        "SPACECRAFT_ID": product.spacecraft,
        "WRS_PATH": str(product.path),
        "WRS_ROW": f"{product.row:03d}",
        "DATE_ACQUIRED": product.acquired.isoformat(),
    }
    sun = {"SUN_ELEVATION": str(SUN_ELEVATION)}
    constants = CONSTANTS[product.spacecraft]
    rescaling = {}
    for band in FILE_BANDS:
        number = band[1:]
        rescaling[f"RADIANCE_MULT_BAND_{number}"] = constants.get(
            f"RADIANCE_MULT_BAND_{number}", f"{1e-2 / float(number):.4E}"
        )
        rescaling[f"RADIANCE_ADD_BAND_{number}"] = "0.10000" if band in THERMAL_BANDS else f"-6{number}.5"
        if band not in THERMAL_BANDS:
            rescaling[f"REFLECTANCE_MULT_BAND_{number}"] = "2.0000E-05"
            rescaling[f"REFLECTANCE_ADD_BAND_{number}"] = "-0.100000"
    thermal = {key: value for key, value in constants.items() if key.startswith("K")}
    if product.generation is Generation.COLLECTION_2:
        return {
            "PRODUCT_CONTENTS": {"LANDSAT_PRODUCT_ID": product_id, "PROCESSING_LEVEL": "L1TP"},
            "IMAGE_ATTRIBUTES": image | sun,
            "LEVEL1_RADIOMETRIC_RESCALING": rescaling,
            "LEVEL1_THERMAL_CONSTANTS": thermal,
        }
    since = product.generation is Generation.COLLECTION_1
    return {
        "METADATA_FILE_INFO": {"LANDSAT_PRODUCT_ID" if since else "LANDSAT_SCENE_ID": product_id},
        "PRODUCT_METADATA": {"DATA_TYPE": "L1TP" if since else "L1T"} | image,
        "IMAGE_ATTRIBUTES": sun,
        "RADIOMETRIC_RESCALING": rescaling,
        "TIRS_THERMAL_CONSTANTS": thermal,
    }


def mtl_text(groups: Mapping[str, Mapping[str, str]], root: str) -> str:
    """Write metadata the way an MTL.txt does: numbers and dates bare, words in quotes."""
    lines = [f"GROUP = {root}"]
    for group, fields in groups.items():
        lines.append(f"  GROUP = {group}")
        for key, value in fields.items():
            bare = not value[:1].isalpha()
            lines.append(f"    {key} = {value}" if bare else f'    {key} = "{value}"')
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, f"END_GROUP = {root}", "END", ""])


def write_product(
    folder: Path, product_id: str, planes: Mapping[str, npt.NDArray[np.uint16]], mtl: str = "txt", **profile: object
) -> Path:
    """Write a product's folder below a folder.

    Args:
        folder: where.
        product_id: its name, which tells its generation.
        planes: uint16 (height, width) of each band and quality band.
        mtl: ``txt`` or ``json``.
        profile: of the GeoTIFFs, for example another `transform`, or how they are stored.
    """
    product = folder / product_id
    product.mkdir(parents=True, exist_ok=True)
    for role, plane in planes.items():
        settings = {"crs": "EPSG:32616", "transform": TRANSFORM} | profile
        height, width = plane.shape
        with rasterio.open(
            product / f"{product_id}_{role}.TIF", "w", driver="GTiff", count=1, height=height, width=width,
            dtype=plane.dtype, **settings,
        ) as file:  # fmt: skip
            file.write(plane, 1)
    groups = mtl_fields(product_id)
    root = "LANDSAT_METADATA_FILE" if "PRODUCT_CONTENTS" in groups else "L1_METADATA_FILE"
    content = json.dumps({root: groups}) if mtl == "json" else mtl_text(groups, root)
    (product / f"{product_id}_MTL.{mtl}").write_text(content)
    return product


def pack_product(product: Path, ending: str, below: str = "") -> Path:
    """Pack a product's folder into a tar beside it, named after it, and return the tar.

    Args:
        product: the folder.
        ending: ``.tar``, ``.tar.gz`` or ``.tar.bz2``.
        below: what the members' names begin with.
    """
    tar_path = product.with_name(product.name + ending)
    with tarfile.open(tar_path, f"w:{ending.removeprefix('.tar').removeprefix('.')}") as tar:
        for file in sorted(product.iterdir()):
            tar.add(file, below + file.name)
    return tar_path
