"""Whole products become the base store: labelled by detectors, whole or not at all, the same on any number of cores."""

import errno
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml

from firefusion_assets.artifacts.store import ArtifactError, ArtifactStore
from firefusion_assets.ingest import product_patches as ingest_products
from firefusion_assets.ingest.base_store import ingest
from firefusion_assets.ingest.sources.listing import list_source, raw_listing
from firefusion_assets.ingest.sources.patch_inputs import BadInputError
from firefusion_assets.landsat.detectors import DETECTOR_BANDS, detect
from firefusion_assets.patchstore import Patches
from firefusion_assets.study import StudyError, load_study
from firefusion_assets.study.models import Study
from firefusion_assets_tests.builders.burning_products import (
    HEIGHT,
    SIX_PRODUCTS,
    WIDTH,
    burning_planes,
    fires,
    packed,
    write_six_products,
)
from firefusion_assets_tests.builders.products import (
    BEFORE_COLLECTIONS,
    COLLECTION_1,
    COLLECTION_2,
    SUN_ELEVATION,
    seeded_planes,
    write_product,
)

REAL_DATA = Path(os.environ.get("FIREFUSION_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def landsat(**dataset: Any) -> Study:
    settings = {"source": "landsat", "products": "products", "patch_size": 32} | dataset
    return Study.model_validate(
        {"name": "t", "dataset": settings, "training": {"bands": [settings.get("bands", ["B7"])[0]]}}
    )


def run(study: Study, folder: Path, out: Path) -> tuple[dict[str, Any], pd.DataFrame, Patches]:
    out.mkdir(exist_ok=True)
    facts = ingest(study, list_source(study, folder, ArtifactStore(folder / "artifacts"), print), out, lambda _: None)
    assert sorted(path.name for path in out.iterdir()) == ["bad_files.csv", "base.lmdb", "patches.parquet"]
    return dict(facts), pd.read_parquet(out / "patches.parquet").set_index("patch_id"), Patches(out / "base.lmdb")


def tile(plane: np.ndarray, number: int, size: int = 32) -> np.ndarray:
    """The square of a patch by its number: counted down the columns, zeros beyond the border."""
    padded = np.pad(plane, [(0, -length % size) for length in plane.shape])
    rows = padded.shape[0] // size
    column, row = divmod(number - 1, rows)
    return padded[row * size : (row + 1) * size, column * size : (column + 1) * size]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real data; name its folder in FIREFUSION_REAL_DATA")
def test_a_real_product_gives_the_real_patches_and_no_fire(tmp_path: Path) -> None:
    facts, table, patches = run(
        landsat(products=REAL_DATA / "landsat-product", patch_size=256), tmp_path, tmp_path / "out"
    )
    assert (facts["n_patches"], facts["n_scenes"], facts["fire_pixels"], facts["n_bad_files"]) == (9, 1, 0, 0)
    expected = sorted((REAL_DATA / "activefire-mini" / "landsat_patches").glob("*_020039_*.tif"))
    assert len(expected) == 4
    for path in expected:
        with rasterio.open(path) as file:
            assert patches.read(path.stem).bands.tobytes() == file.read().tobytes()
            assert tuple(table.loc[path.stem, "transform"]) == tuple(file.transform)[:6]
    assert table["sun_elevation"].unique().tolist() == [64.74360932]
    assert table["valid_pixels"].sum() == 603 * 627
    with rasterio.open(next((REAL_DATA / "landsat-product").rglob("*_BQA.TIF"))) as file:
        clouds = (file.read(1) // 16384 == 3).sum()
    assert (table["cloud_share"] * table["valid_pixels"]).sum() == pytest.approx(clouds)
    assert table["shadow_share"].isna().all()
    assert set(table["conditions"]) == {"quality band"} and (table["water_share"] < 0.01).all()  # by reflectance


@pytest.mark.parametrize("labels", sorted(DETECTOR_BANDS))
def test_labels_are_those_of_the_whole_scene_whatever_is_kept(tmp_path: Path, labels: str) -> None:
    planes = seeded_planes(COLLECTION_1, 5, 100, 90)  # any DN beside any other: candidates everywhere
    write_product(tmp_path / "products", COLLECTION_1, planes)
    saturated = planes["BQA"] // 4 % 4 > 0
    expected = detect([labels], planes, SUN_ELEVATION, saturated=saturated)[labels]
    facts, table, patches = run(landsat(labels=labels, bands=["B11", "B7"]), tmp_path, tmp_path / "out")
    assert facts["fire_pixels"] == expected.sum() > 0 and len(table) == 12
    for number in range(1, 13):
        patch = patches.read(f"{COLLECTION_1}_p{number:05d}")
        np.testing.assert_array_equal(patch.label, tile(expected, number))
        np.testing.assert_array_equal(patch.bands, [tile(planes[band], number) for band in ("B11", "B7")])


@pytest.mark.parametrize("product_id", [BEFORE_COLLECTIONS, COLLECTION_1, COLLECTION_2])
def test_fires_and_conditions_of_every_generation(tmp_path: Path, product_id: str) -> None:
    write_product(tmp_path / "products", product_id, burning_planes(product_id))
    facts, table, patches = run(landsat(), tmp_path, tmp_path / "out")
    assert (facts["n_patches"], facts["fire_pixels"]) == (9, fires().sum())
    for number, patch_id in enumerate(table.index, 1):
        assert patch_id.endswith(f"_p{number:05d}")
        np.testing.assert_array_equal(patches.read(patch_id).label, tile(fires(), number))
        np.testing.assert_array_equal(~patches.read(patch_id).ignore, tile(np.ones((HEIGHT, WIDTH), bool), number))
    assert table["cloud_share"].tolist() == [0, 0, 0, 0.5, 0, 0, 0, 0, 0]
    assert (table["cirrus_share"] == 0).all() and (table["snow_share"] == 0).all()
    assert table["shadow_share"].isna().all() == (product_id == BEFORE_COLLECTIONS)
    assert table["clear_share"].tolist() == [1, 1, 1, 0.5, 1, 1, 1, 1, 1]
    assert (table["water_share"] == 0).all() and set(table["conditions"]) == {"quality band"}
    assert table["sun_elevation"].unique().tolist() == [SUN_ELEVATION]
    assert table["crs"].unique().tolist() == ["EPSG:32616"] and table["pixel_area_m2"].unique().tolist() == [900]


def test_of_a_product_without_quality_bands_reflectance_tells(tmp_path: Path) -> None:
    planes = burning_planes(COLLECTION_2)
    del planes["QA_PIXEL"], planes["QA_RADSAT"]
    write_product(tmp_path / "products", COLLECTION_2, planes)
    facts, table, _ = run(landsat(), tmp_path, tmp_path / "out")
    assert facts["fire_pixels"] == fires().sum() and set(table["conditions"]) == {"reflectance"}
    assert (table[["cloud_share", "cirrus_share", "snow_share", "water_share"]] == 0).all(axis=None)
    assert table["shadow_share"].isna().all() and (table["clear_share"] == 1).all()


def test_without_a_quality_band_cirrus_is_told_by_b9_whatever_is_kept(tmp_path: Path) -> None:
    planes = burning_planes(COLLECTION_1)
    del planes["BQA"]
    planes["B9"][:32, :16] = 7_000
    write_product(tmp_path / "products", COLLECTION_1, planes)
    _, table, _ = run(landsat(bands=["B7"]), tmp_path, tmp_path / "out")
    assert table["cirrus_share"].iloc[0] == 0.5 and (table["cirrus_share"].iloc[1:] == 0).all()


def test_a_missing_band_that_only_tells_conditions_is_no_problem(tmp_path: Path) -> None:
    planes = burning_planes(COLLECTION_1)
    del planes["B4"], planes["B9"]
    write_product(tmp_path / "products", COLLECTION_1, planes)
    facts, table, _ = run(landsat(labels="murphy", bands=["B7"]), tmp_path, tmp_path / "out")
    assert facts["fire_pixels"] == fires().sum() and set(table["conditions"]) == {"quality band"}
    assert table["cloud_share"].tolist()[3] == 0.5 and table["water_share"].isna().all()


def test_bands_that_only_tell_conditions_make_no_pixel_fill(tmp_path: Path) -> None:
    planes = burning_planes(COLLECTION_2)
    planes["B2"][:32, :32] = 0
    write_product(tmp_path / "products", COLLECTION_2, planes)
    facts, table, patches = run(landsat(labels="murphy", bands=["B7"]), tmp_path, tmp_path / "out")
    assert facts["fire_pixels"] == fires().sum() and not patches.read(table.index[0]).ignore.any()


def test_the_sun_of_the_study_counts_before_that_of_the_product(tmp_path: Path) -> None:
    planes = seeded_planes(COLLECTION_1, 6, 32, 32)
    write_product(tmp_path / "products", COLLECTION_1, planes)
    _, table, patches = run(landsat(labels="kumar-roy", sun_elevation=20), tmp_path, tmp_path / "out")
    low, own = (detect(["kumar-roy"], planes, sun)["kumar-roy"] for sun in (20, SUN_ELEVATION))
    assert (low != own).any()
    np.testing.assert_array_equal(patches.read(table.index[0]).label, low)
    assert table["sun_elevation"].tolist() == [20]


def test_the_constants_of_the_product_count(tmp_path: Path) -> None:
    planes = seeded_planes(COLLECTION_1, 7, 32, 32)
    product = write_product(tmp_path / "products", COLLECTION_1, planes)
    mtl = product / f"{COLLECTION_1}_MTL.txt"
    lines = mtl.read_text().replace("REFLECTANCE_MULT_BAND_7 = 2.0000E-05", "REFLECTANCE_MULT_BAND_7 = 1.0000E-05")
    mtl.write_text(lines)
    _, table, patches = run(landsat(labels="schroeder"), tmp_path, tmp_path / "out")
    usual = {f"B{n}": (2e-5, -0.1) for n in range(1, 8)}
    other, common = (
        detect(["schroeder"], planes, calibration=calibration)["schroeder"]
        for calibration in (usual | {"B7": (1e-5, -0.1)}, usual)
    )
    assert (other != common).any()
    np.testing.assert_array_equal(patches.read(table.index[0]).label, other)


def test_fill_is_ignored_in_any_band_that_the_label_needs(tmp_path: Path) -> None:
    planes = burning_planes(COLLECTION_1)
    planes["B5"][8:10, 8:10] = 0  # fill in a band that isn't kept, in the middle of a fire
    for band in planes:
        planes[band][32:64, :32] = 0
    planes["B1"][40, 20] = 7  # something in B1, but fill everywhere in the others
    write_product(tmp_path / "products", COLLECTION_1, planes)
    facts, table, patches = run(landsat(bands=["B7", "B6"]), tmp_path, tmp_path / "out")
    patch = patches.read(f"{COLLECTION_1}_p00001")
    assert patch.ignore[8:10, 8:10].all() and patch.ignore.sum() == 4
    assert not patch.bands[:, patch.ignore].any()
    assert not patch.label[8:10, 8:10].any() and patch.label[10:12, 8:13].all()
    assert facts["n_empty_patches"] == 1 and f"{COLLECTION_1}_p00002" not in table.index and len(table) == 8


@pytest.mark.slow
def test_a_product_of_fill_alone_gives_no_patch(tmp_path: Path) -> None:
    for product_id in (COLLECTION_1, COLLECTION_2):
        write_product(tmp_path / "products", product_id, burning_planes(product_id))
    planes = {band: np.zeros((HEIGHT, WIDTH), np.uint16) for band in burning_planes(BEFORE_COLLECTIONS)}
    planes["B1"][40, 20] = 7
    write_product(tmp_path / "products", BEFORE_COLLECTIONS, planes)
    facts, _, _ = run(landsat(), tmp_path, tmp_path / "out")
    assert (facts["n_scenes"], facts["n_patches"], facts["n_empty_patches"]) == (2, 18, 1)


@pytest.mark.slow
def test_the_store_is_the_same_with_any_number_of_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_six_products(tmp_path / "products")
    packed(paths[4], ".tar.gz")
    contents = []
    for cores in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        out = tmp_path / f"out-{cores}"
        facts, table, patches = run(landsat(), tmp_path, out)
        assert (facts["n_patches"], facts["n_scenes"], facts["fire_pixels"]) == (54, 6, 6 * fires().sum())
        assert table.index.tolist() == patches.base_ids == sorted(patches.base_ids)
        files = [path for path in sorted(out.rglob("*")) if path.is_file()]
        contents.append([(path.relative_to(out), path.read_bytes()) for path in files])
    assert contents[0] == contents[1]


def spoil(paths: list[Path]) -> dict[str, str]:
    """Break three of six products, and add one of level 2; return for each what its message must say."""
    torn = paths[1] / f"{paths[1].name}_B7.TIF"
    torn.write_bytes(torn.read_bytes()[: -WIDTH * 2])  # the first row of patches is whole
    paths[2].write_bytes(paths[2].read_bytes()[:30_000])
    (paths[5] / f"{paths[5].name}_B3.TIF").unlink()
    level_2 = paths[0].parent / "LC08_L2SP_020030_20200914_20200920_02_T1"
    level_2.mkdir()
    (level_2 / f"{level_2.name}_SR_B7.TIF").touch()
    return {
        torn.name: "damaged; fetch the product again",
        paths[2].name: "is damaged or no tar",
        paths[5].name: "lacks LC80600342015216LGN00_B3.TIF",
        level_2.name: "fetch the level-1 product",
    }


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2])
def test_every_damaged_product_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    expected = spoil(write_six_products(tmp_path / "products"))
    with pytest.raises(BadInputError) as error:
        run(landsat(), tmp_path, tmp_path / "out")
    assert len(error.value.problems) == len(expected)
    for name, reason in expected.items():
        assert any(name in problem and reason in problem for problem in error.value.problems), (name, reason)
    assert "on_bad_input: skip" in str(error.value)
    assert not (tmp_path / "out" / "products").exists()


@pytest.mark.slow
def test_skipping_leaves_no_patch_of_a_damaged_product(tmp_path: Path) -> None:
    expected = spoil(write_six_products(tmp_path / "products"))
    facts, table, patches = run(landsat(on_bad_input="skip"), tmp_path, tmp_path / "out")
    assert (facts["n_bad_files"], facts["n_patches"], facts["n_scenes"]) == (len(expected), 27, 3)
    assert {patch_id[10:16] for patch_id in patches.base_ids} == {"010029", "040032", "050033"}
    assert table.index.tolist() == patches.base_ids
    listed = pd.read_csv(tmp_path / "out" / "bad_files.csv")["problem"]
    assert len(listed) == len(expected) and all(listed.str.contains(name).any() for name in expected)


def test_nothing_but_damaged_products_stops_even_when_skipping(tmp_path: Path) -> None:
    write_product(tmp_path / "products", COLLECTION_1, {"B1": np.ones((8, 8), np.uint16)})
    with pytest.raises(BadInputError, match="lacks LC08.*_B7.TIF"):
        run(landsat(on_bad_input="skip"), tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder or tar"):
        run(landsat(products="nowhere"), tmp_path, tmp_path / "out")


def test_a_full_disk_publishes_nothing_and_the_next_run_makes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    write_six_products(tmp_path / "products")
    store, opened = ArtifactStore(tmp_path / "artifacts"), ingest_products.open_product

    @contextmanager
    def fills_the_disk(*arguments: Any, **options: Any) -> Any:
        with opened(*arguments, **options) as product:
            if SIX_PRODUCTS[3] in str(product.files):
                (options["scratch"] / "half").write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
            yield product

    def build() -> Path:
        source = list_source(landsat(), tmp_path, store, print)
        return store.build("landsat_patches", "f", lambda work: ingest(landsat(), source, work, print)).path

    with monkeypatch.context() as patch:
        patch.setattr(ingest_products, "open_product", fills_the_disk)
        with pytest.raises(ArtifactError, match="No space left on device.*free space"):
            build()
    assert store.find("landsat_patches", "f") is None and not list(tmp_path.rglob("half"))
    killed = tmp_path / "artifacts" / "landsat_patches" / ".work" / "f" / "products" / SIX_PRODUCTS[1]
    killed.mkdir(parents=True)  # what a killed process can't remove
    assert len(Patches(build() / "base.lmdb").base_ids) == 54
    assert not (build() / "products").exists()


def kill_this_process(slot: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_six_products(tmp_path / "products")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(ingest_products, "_cutter", kill_this_process)
    with pytest.raises(RuntimeError, match=r"cutting of product LC0?8\w+ was ended by signal 9 \(out of memory\?\)"):
        run(landsat(), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out" / "products").exists()


def test_the_listing_changes_with_the_products_and_with_what_is_refused(tmp_path: Path) -> None:
    paths = write_six_products(tmp_path / "products")
    before = raw_listing(landsat(), tmp_path)
    (paths[0] / "README.txt").write_text("no file of a product")
    assert raw_listing(landsat(), tmp_path) == before
    moved = tmp_path / "elsewhere" / "products"
    moved.parent.mkdir()
    (tmp_path / "products").rename(moved)
    assert raw_listing(landsat(), moved.parent) == before
    os.utime(moved / paths[2].name, (1, 1))
    touched = raw_listing(landsat(), moved.parent)
    spoil([moved / path.name for path in paths])
    assert len({before, touched, raw_listing(landsat(), moved.parent)}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "v1"}, r"dataset\.labels: 'v1' is unknown; known are 'voting', 'intersection'"),
        ({"mask_label": "v1"}, r"dataset\.mask_label: unknown key"),
        ({"bands": ["B8"]}, r"dataset\.bands: B8 not in a patch file"),
        ({"products": None}, r"dataset\.products: "),
    ],
)
def test_mistakes_in_the_settings_are_told(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    dataset = {"source": "landsat", "products": "products"} | change
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump({"name": "t", "dataset": dataset, "training": {"bands": dataset.get("bands", ["B7"])}})
    )
    with pytest.raises(StudyError, match=message):
        load_study(tmp_path)
