"""Patches cut from products: the data set's own, numbers, empty tiles, borders, margins and quality bits."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from firefusion_assets.ingest.cutting import ProductPatch, strips
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.names import PatchName
from firefusion_assets.landsat.products.naming import Generation
from firefusion_assets.landsat.products.product import find_products, open_product
from firefusion_assets.landsat.products.quality import Quality
from firefusion_assets_tests.builders.products import (
    BEFORE_COLLECTIONS,
    COLLECTION_1,
    COLLECTION_2,
    TRANSFORM,
    Planes,
    pack_product,
    seeded_planes,
    write_product,
)

REAL_DATA = Path(os.environ.get("FIREFUSION_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def cut_all(root: Path, bands: tuple[str, ...] = FILE_BANDS, patch_size: int = 256) -> dict[int, ProductPatch]:
    """The patches of the only product there, by number."""
    ((files,), problems) = find_products(root)
    assert not problems
    with open_product(files, bands) as product:
        cut = (patch for strip in strips(product, bands, patch_size) for patch in strip.patches(bands))
        return {int(patch.name.number): patch for patch in cut}


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real data; name its folder in FIREFUSION_REAL_DATA")
@pytest.mark.parametrize("ending", ["", ".tar", ".tar.gz"])
def test_a_real_product_gives_the_real_patches(tmp_path: Path, ending: str) -> None:
    root = REAL_DATA / "landsat-product"
    if ending:
        (source,) = root.iterdir()
        product = tmp_path / source.name
        product.mkdir()
        for file in source.iterdir():
            (product / file.name).write_bytes(file.read_bytes())
        root = pack_product(product, ending)
    patches = cut_all(root)
    assert sorted(patches) == list(range(1, 10))  # 603 x 627 px: three rows, three columns
    expected = sorted((REAL_DATA / "activefire-mini" / "landsat_patches").glob("*_020039_*.tif"))
    assert len(expected) == 4
    for path in expected:
        patch = patches[int(PatchName.parse(path.stem).number)]
        assert str(patch.name) == path.stem
        with rasterio.open(path) as file:
            assert patch.bands.tobytes() == file.read().tobytes()
            assert patch.bands.shape == (file.count, *file.shape)
            assert (patch.crs, patch.transform) == (file.crs.to_string(), tuple(file.transform)[:6])
            assert patch.bounds == tuple(file.bounds)
    assert not patches[9].bands[:, 603 - 512 :].any() and not patches[9].bands[:, :, 627 - 512 :].any()
    (quality_path,) = (REAL_DATA / "landsat-product").rglob("*_BQA.TIF")
    with rasterio.open(quality_path) as file:
        quality_band = file.read(1)
    quality = [patch.quality for patch in patches.values() if patch.quality]
    assert sum(int(one.cloud.sum()) for one in quality) == (quality_band // 16384 == 3).sum() > 0
    assert sum(int(one.cirrus.sum()) for one in quality) == (quality_band // 4096 % 4 == 3).sum() > 0


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real data; name its folder in FIREFUSION_REAL_DATA")
def test_a_real_mtl_is_read() -> None:
    ((files,), _) = find_products(REAL_DATA / "landsat-product")
    with open_product(files) as product:
        metadata = product.metadata
    assert (metadata.path, metadata.row, metadata.acquired.isoformat()) == (20, 39, "2015-08-04")
    assert metadata.sun_elevation == 64.74360932
    assert metadata.reflectance["B9"] == (2e-5, -0.1)


def reference_patches(planes: Planes, size: int) -> dict[int, tuple[int, int, np.ndarray]]:
    """Number: top, left and bands of every patch, by padding the whole scene and counting tile by tile."""
    scene = np.stack([planes[band] for band in FILE_BANDS])
    padded = np.pad(scene, ((0, 0), (0, -scene.shape[1] % size), (0, -scene.shape[2] % size)))
    expected, number = {}, 0
    for left in range(0, padded.shape[2], size):
        for top in range(0, padded.shape[1], size):
            number += 1
            square = padded[:, top : top + size, left : left + size]
            if (square[0] != 0).any():
                expected[number] = (top, left, square)
    return expected


@pytest.mark.parametrize(("height", "width"), [(40, 56), (41, 60), (16, 16), (5, 90)])
@pytest.mark.parametrize("stored", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"}])
def test_patches_are_the_tiles_of_the_scene(tmp_path: Path, height: int, width: int, stored: dict[str, object]) -> None:
    planes = seeded_planes(COLLECTION_1, 2, height, width)
    planes["B1"][:16, 16:32] = 0  # empty in B1 alone: skipped, but counted
    planes["B7"][32:, :16] = 0  # empty in another band: kept
    write_product(tmp_path, COLLECTION_1, planes, **stored)
    patches, expected = cut_all(tmp_path, patch_size=16), reference_patches(planes, 16)
    assert patches.keys() == expected.keys()
    for number, (top, left, square) in expected.items():
        patch = patches[number]
        assert str(patch.name) == f"{COLLECTION_1}_p{number:05d}"
        np.testing.assert_array_equal(patch.bands, square)
        assert rasterio.Affine(*patch.transform) == TRANSFORM @ rasterio.Affine.translation(left, top)


def test_emptiness_is_that_of_b1_whatever_bands_are_wanted(tmp_path: Path) -> None:
    planes = seeded_planes(COLLECTION_1, 2, 16, 32)
    planes["B1"][:, :16] = 0
    write_product(tmp_path, COLLECTION_1, planes)
    patches = cut_all(tmp_path, ("B10", "B2"), 16)
    assert patches.keys() == {2}
    np.testing.assert_array_equal(patches[2].bands, np.stack([planes["B10"], planes["B2"]])[:, :, 16:])


@settings(max_examples=25)
@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(3, 20), margin=st.integers(0, 9))
def test_strips_hold_their_margin_and_give_back_the_scene(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, size: int, margin: int
) -> None:
    folder = tmp_path_factory.mktemp("product")
    b1 = seeded_planes(COLLECTION_1, 3, height, width)["B1"]
    write_product(folder, COLLECTION_1, {"B1": b1})
    ((files,), _) = find_products(folder)
    with open_product(files, ("B1",)) as product:
        for row, strip in enumerate(strips(product, (), size, margin)):
            top = row * size
            lines = range(max(0, top - margin), min(height, top + size + margin))
            np.testing.assert_array_equal(strip.bands["B1"], b1[lines.start : lines.stop])
            for column in range(-(-width // size)):
                square = strip.tile(strip.bands["B1"], column)
                inside = b1[top : top + size, column * size : (column + 1) * size]
                assert square.shape == (size, size) and square.sum() == inside.sum()
                np.testing.assert_array_equal(square[: inside.shape[0], : inside.shape[1]], inside)
    assert row == -(-height // size) - 1


@pytest.mark.parametrize("product_id", [BEFORE_COLLECTIONS, COLLECTION_1, COLLECTION_2])
def test_quality_comes_with_the_patch_and_is_fill_beyond_the_border(tmp_path: Path, product_id: str) -> None:
    planes = seeded_planes(product_id, 4, 20, 20)
    write_product(tmp_path, product_id, planes)
    patches = cut_all(tmp_path, patch_size=16)
    quality = patches[4].quality
    assert quality is not None and quality.fill[4:].all() and quality.fill[:, 4:].all()
    conditions = planes["QA_PIXEL" if product_id == COLLECTION_2 else "BQA"][16:, 16:]
    np.testing.assert_array_equal(quality.fill[:4, :4], conditions % 2 == 1)
    assert not quality.cloud[4:].any()
    whole = Quality.decode(
        Generation.COLLECTION_2 if product_id == COLLECTION_2 else Generation.COLLECTION_1,
        conditions,
        planes["QA_RADSAT"][16:, 16:] if product_id == COLLECTION_2 else None,
    )
    if product_id == BEFORE_COLLECTIONS:
        assert quality.saturated is None
    else:
        assert quality.saturated is not None and whole.saturated is not None
        np.testing.assert_array_equal(quality.saturated[:4, :4], whole.saturated)
        np.testing.assert_array_equal(quality.cloud[:4, :4], whole.cloud)


@pytest.mark.parametrize(
    ("generation", "value", "conditions"),
    [  # values and what they mean, as USGS tabulates them
        (Generation.BEFORE_COLLECTIONS, 1, {"fill"}),
        (Generation.BEFORE_COLLECTIONS, 20480, set()),
        (Generation.BEFORE_COLLECTIONS, 36864, set()),  # cloud of middling confidence
        (Generation.BEFORE_COLLECTIONS, 53248, {"cloud"}),
        (Generation.BEFORE_COLLECTIONS, 61440, {"cloud", "cirrus"}),
        (Generation.BEFORE_COLLECTIONS, 28672, {"cirrus"}),
        (Generation.BEFORE_COLLECTIONS, 23552, {"snow"}),
        (Generation.COLLECTION_1, 1, {"fill"}),
        (Generation.COLLECTION_1, 2720, set()),
        (Generation.COLLECTION_1, 2724, {"saturated"}),
        (Generation.COLLECTION_1, 2800, {"cloud"}),
        (Generation.COLLECTION_1, 2976, {"shadow"}),
        (Generation.COLLECTION_1, 3744, {"snow"}),
        (Generation.COLLECTION_1, 6896, {"cloud", "cirrus"}),
        (Generation.COLLECTION_2, 1, {"fill"}),
        (Generation.COLLECTION_2, 21824, set()),
        (Generation.COLLECTION_2, 21952, {"water"}),
        (Generation.COLLECTION_2, 22280, {"cloud"}),
        (Generation.COLLECTION_2, 23888, {"shadow"}),
        (Generation.COLLECTION_2, 30048, {"snow"}),
        (Generation.COLLECTION_2, 54596, {"cirrus"}),
    ],
)
def test_quality_bits_mean_what_the_tables_say(generation: Generation, value: int, conditions: set[str]) -> None:
    quality = Quality.decode(generation, np.array([[value]], np.uint16))
    planes = {name: plane for name, plane in vars(quality).items() if plane is not None}
    assert {name for name, plane in planes.items() if plane.item()} == conditions


def test_saturation_of_collection_2_is_that_of_swir() -> None:
    saturation = np.array([[0b1_0000, 0b10_0000, 0b100_0000, 0b1_0000_0000]], np.uint16)  # B5, B6, B7, B9
    quality = Quality.decode(Generation.COLLECTION_2, np.zeros((1, 4), np.uint16), saturation)
    assert quality.saturated is not None and quality.saturated.tolist() == [[False, True, True, False]]
