"""Fire maps of products and images: the fires that are there, in files that GIS programs open."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate
from scipy.ndimage import label as components

from firefusion_assets.ingest.scenes import SceneError
from firefusion_assets.patchstore import Patch
from firefusion_assets.segmentation.training import train_unet
from firefusion_assets.steps.mapping import load_model, map_scenes
from firefusion_assets_tests.builders.burning_products import HEIGHT, WIDTH, burning_planes, fires, packed
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.products import COLLECTION_1, COLLECTION_2, TRANSFORM, write_product
from firefusion_assets_tests.builders.rasters import write_raster
from firefusion_assets_tests.builders.squares import square_job, squares, write_store
from firefusion_assets_tests.builders.studies import write_study

pytestmark = pytest.mark.slow

BANDS = ("B7", "B6", "B2")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two networks that were trained on patches whose fires are those of the products."""
    folder = tmp_path_factory.mktemp("networks")
    write_store(folder / "base", {name: burning_patch(seed) for seed, name in enumerate(squares(24))})
    for number, seed in enumerate((1, 2)):
        job = square_job(folder, seed, steps=60, validate_every=20)
        train_unet(job, folder / "trained" / f"replicate-{number}")
    return folder / "trained"


def burning_patch(seed: int) -> Patch:
    """16 px with the ground of the products, every other one with a fire."""
    rng = np.random.default_rng(seed)
    bands = rng.normal(9_000, 60, (3, 16, 16))
    label = np.zeros((16, 16), bool)
    if seed % 2 == 0:
        row, column = rng.integers(-2, 14, 2)
        label[max(row, 0) : row + 4, max(column, 0) : column + 5] = True
    bands[1, label] += 10_500
    bands[2, label] += 32_700
    return Patch(bands.astype(np.uint16), label, np.zeros_like(label))


def mapped(networks: Path, *scenes: Path, output: Path) -> list[Path]:
    model = load_model(sorted(networks.iterdir()), None)
    return map_scenes(model, scenes, BANDS, output, lambda line: None)


def read(path: Path) -> npt.NDArray[np.generic]:
    with rasterio.open(path) as dataset:
        array: npt.NDArray[np.generic] = dataset.read()
    return array


def overlap(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def test_the_fires_of_a_product_are_mapped(networks: Path, tmp_path: Path) -> None:
    product = packed(write_product(tmp_path / "in", COLLECTION_2, burning_planes(COLLECTION_2)), ".tar.gz")
    (folder,) = mapped(networks, product, output=tmp_path / "maps")
    assert folder.name == COLLECTION_2
    (fire,) = read(folder / "fire.tif") == 1
    assert overlap(fire, fires()) > 0.8

    polygons = gpd.read_file(folder / "fires.gpkg", layer="fires")
    _, n_fires = components(fire, np.ones((3, 3)))
    assert len(polygons) == n_fires
    assert polygons["pixels"].sum() == fire.sum()
    assert polygons.crs == "EPSG:32616"
    assert polygons["area_m2"].sum() == pytest.approx(fire.sum() * 900, rel=0.01)  # UTM isn't of equal area
    assert polygons.area.sum() == pytest.approx(fire.sum() * 900)
    (probability,), (spread,) = read(folder / "probability.tif"), read(folder / "spread.tif")
    assert polygons["peak"].max() == pytest.approx(probability[fire].max())
    weights = polygons["pixels"] / fire.sum()
    assert (polygons["confidence"] * weights).sum() == pytest.approx(probability[fire].mean(), rel=1e-5)
    assert (polygons["spread"] * weights).sum() == pytest.approx(spread[fire].mean(), rel=1e-4)
    detectors = read(folder / "detectors.tif").astype(bool)
    assert [overlap(mask, fires()) > 0.99 for mask in detectors] == [True] * 4
    assert (polygons["murphy"] * polygons["pixels"]).sum() == pytest.approx((detectors[1] & fire).sum())


def test_what_is_written_opens_in_a_gis(networks: Path, tmp_path: Path) -> None:
    product = write_product(tmp_path / "in", COLLECTION_1, burning_planes(COLLECTION_1))
    (folder,) = mapped(networks, product, output=tmp_path / "maps")
    for name, bands in {
        "probability.tif": ("probability",),
        "spread.tif": ("spread",),
        "fire.tif": ("fire",),
        "detectors.tif": ("schroeder", "murphy", "kumar-roy", "voting"),
    }.items():
        valid, errors, warnings = cog_validate(folder / name, strict=True)
        assert valid, (name, errors, warnings)
        with rasterio.open(folder / name) as dataset:
            assert dataset.descriptions == bands
            assert (dataset.crs, dataset.transform) == ("EPSG:32616", TRANSFORM)
            assert not {ColorInterp.red, ColorInterp.alpha} & {*dataset.colorinterp}, "a GIS would see through it"
            assert not dataset.read(masked=True).mask.any()
            if name == "fire.tif":
                assert dataset.colormap(1)[1] == (230, 60, 0, 255) and dataset.nodata == 255
    assert pyogrio.list_layers(folder / "fires.gpkg")[:, 0].tolist() == ["fires"]
    assert pyogrio.read_info(folder / "fires.gpkg")["crs"] == "EPSG:32616"
    assert json.loads((folder / "map.json").read_text())["bands"] == list(BANDS)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("detectors.tif", "fire.tif", "fires.gpkg", "map.json", "probability.tif", "spread.tif"),
    ]


def test_images_are_mapped_as_products_are(networks: Path, tmp_path: Path) -> None:
    """Bands are known by their names, or by the order that the study says; without a CRS there is no area."""
    planes = burning_planes(COLLECTION_2)
    product = write_product(tmp_path / "in", COLLECTION_2, planes)
    ordered = np.stack([planes[band] for band in BANDS])
    write_raster(tmp_path / "images" / "ordered.tif", ordered)
    named = write_raster(tmp_path / "images" / "named.tif", ordered[::-1], "EPSG:32616")
    with rasterio.open(named, "r+") as dataset:
        dataset.descriptions = BANDS[::-1]
    expected, *found = mapped(networks, product, tmp_path / "images", output=tmp_path / "maps")
    for folder in found:
        for name in ("probability.tif", "fire.tif"):
            np.testing.assert_array_equal(read(folder / name), read(expected / name))
        assert not (folder / "detectors.tif").exists()
    assert [folder.name for folder in found] == ["named", "ordered"]
    assert gpd.read_file(found[1] / "fires.gpkg")["area_m2"].isna().all()
    assert json.loads((found[1] / "map.json").read_text())["fire_km2"] is None


def test_fill_is_no_fire_and_has_no_probability(networks: Path, tmp_path: Path) -> None:
    planes = burning_planes(COLLECTION_2)
    planes["B6"][:, 60:] = 0
    product = write_product(tmp_path / "in", COLLECTION_2, planes)
    (folder,) = mapped(networks, product, output=tmp_path / "maps")
    (fire,), (probability,) = read(folder / "fire.tif"), read(folder / "probability.tif")
    assert np.all(fire[:, 60:] == 255) and not np.any(fire[:, :60] == 255)
    assert np.array_equal(np.isnan(probability), fire == 255)


def test_a_scene_without_fire_gives_an_empty_layer(networks: Path, tmp_path: Path) -> None:
    calm = np.full((3, HEIGHT, WIDTH), 9_000, np.uint16)
    write_raster(tmp_path / "calm.tif", calm, "EPSG:32616")
    (folder,) = mapped(networks, tmp_path / "calm.tif", output=tmp_path / "maps")
    polygons = gpd.read_file(folder / "fires.gpkg")
    assert len(polygons) == 0 and {"pixels", "area_m2", "peak", "confidence", "spread"} <= set(polygons.columns)
    planes = dict.fromkeys(burning_planes(COLLECTION_2), np.full((HEIGHT, WIDTH), 9_000, np.uint16))
    (folder,) = mapped(networks, write_product(tmp_path / "in", COLLECTION_2, planes), output=tmp_path / "maps")
    layer = pyogrio.read_info(folder / "fires.gpkg")
    assert (layer["features"], layer["geometry_type"]) == (0, "Polygon")
    assert {"schroeder", "murphy", "kumar_roy", "voting"} <= {*layer["fields"]}


def test_bad_scenes_are_told_at_the_end_and_the_others_are_mapped(networks: Path, tmp_path: Path) -> None:
    good = write_product(tmp_path / "in", COLLECTION_2, burning_planes(COLLECTION_2))
    bad = write_product(tmp_path / "in", COLLECTION_1, burning_planes(COLLECTION_1))
    whole = (bad / f"{COLLECTION_1}_B7.TIF").read_bytes()
    (bad / f"{COLLECTION_1}_B7.TIF").write_bytes(whole[: len(whole) // 2])
    two_bands = write_raster(tmp_path / "in2" / "two.tif", np.full((2, 40, 40), 9_000, np.uint16))
    with pytest.raises(SceneError) as caught:
        mapped(networks, tmp_path / "in", two_bands, output=tmp_path / "maps")
    assert f"{COLLECTION_1}_B7.TIF" in str(caught.value) and f"{two_bands}: has 2 bands" in str(caught.value)
    assert "--bands B7,B6,B2" in str(caught.value)
    assert [path.name for path in (tmp_path / "maps").iterdir() if not path.name.endswith(".partial")] == [good.name]


def test_the_command_finds_what_it_mapped_before(networks: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    product = write_product(tmp_path / "in", COLLECTION_2, burning_planes(COLLECTION_2))
    arguments = ("map", networks, product, "--output", tmp_path / "maps")
    first = firefusion(*arguments, study=study)
    assert "fires" in first and "found" not in first
    written = (tmp_path / "maps" / COLLECTION_2 / "fires.gpkg").stat().st_mtime_ns
    assert "found" in firefusion(*arguments, study=study)
    assert (tmp_path / "maps" / COLLECTION_2 / "fires.gpkg").stat().st_mtime_ns == written
    # A map of other settings is made anew, and one network alone has less to average over.
    assert "found" not in firefusion(*arguments, "--threshold", "0.9", study=study)
    alone = firefusion("map", networks / "replicate-0", product, "--output", tmp_path / "alone", study=study)
    assert (
        "found" not in alone
        and json.loads((tmp_path / "alone" / COLLECTION_2 / "map.json").read_text())["networks"] == 1
    )


def test_the_command_tells_what_is_missing(networks: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    (tmp_path / "empty").mkdir()
    assert "there is no such augmentation config" in firefusion_refuses("map", "nativ", tmp_path / "empty", study=study)
    assert "holds no trained network" in firefusion_refuses("map", tmp_path / "empty", tmp_path / "empty", study=study)
    refused = firefusion_refuses("map", networks, tmp_path / "empty", tmp_path / "none", study=study)
    assert "holds no level-1 product" in refused and f"{tmp_path / 'none'}: there is no such" in refused


def test_a_scene_of_other_values_than_the_networks_learned_from_is_warned_of(networks: Path, tmp_path: Path) -> None:
    study, rng = write_study(tmp_path / "study"), np.random.default_rng(0)
    for name, low in (("like", 8000), ("eight-bit", 30)):
        write_raster(tmp_path / "in" / f"{name}.tif", rng.integers(low, low * 1.2, (3, 64, 64)).astype(np.uint16))
    arguments = ("map", networks, tmp_path / "in", "--bands", "B7,B6,B2", "--output", tmp_path / "maps")
    told = firefusion(*arguments, study=study).splitlines()
    assert ["far from those that the networks learned from" in line for line in told if "WARNING" in line] == [True]
    assert next(line for line in told if "WARNING" in line).startswith("eight-bit (1 of 2)")
