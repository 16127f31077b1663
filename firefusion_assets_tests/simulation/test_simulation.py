"""The simulated scenes: what is written, that windows agree, and that a detector sees the fires as fires."""

import os
import tracemalloc
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform

from firefusion_assets.ingest.sources.settings import SimulatedDataset
from firefusion_assets.landsat.bands import FILE_BANDS, REFLECTANCE_ADD, REFLECTANCE_MULT
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.landsat.names import PatchName
from firefusion_assets.landsat.sun import sun_elevation
from firefusion_assets.simulation import simulate as simulation
from firefusion_assets.simulation.burning import fire_reflectance
from firefusion_assets.simulation.render import Rendered, render
from firefusion_assets.simulation.scenes import Scene, pass_day, scenes, wrs2_centre
from firefusion_assets.simulation.simulate import simulate
from firefusion_assets.simulation.textures import Window, fractal, smooth, white


def dataset(**changes: object) -> SimulatedDataset:
    settings_ = {"source": "simulated", "patch_size": 32, "scenes": 2, "patches_per_scene": 5} | changes
    return SimulatedDataset.model_validate(settings_)


@dataclass
class Sample:
    """All patches of a data set."""

    scene: Scene
    number: int
    dn: npt.NDArray[np.uint16]
    label: npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    found = []
    for scene in scenes(dataset(scenes=12, patches_per_scene=9, patch_size=64)):
        for number in range(1, scene.patches + 1):
            found.append(Sample(scene, number, *render(scene, scene.tile(number))))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(dataset(), folder, print)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.tif"))}


# Files


@pytest.mark.slow
@pytest.mark.usefixtures("all_cores")
def test_several_processes_write_the_bytes_of_one(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("needs two cores")
    monkeypatch.setattr(simulation, "_write_scene", None)  # of this process; others import their own
    told: list[str] = []
    simulate(dataset(), tmp_path, told.append)
    assert contents(tmp_path) == contents(written)
    assert told[-1] == f"simulated scene {dataset().scenes} of {dataset().scenes}"


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_and_another_seed_another_ground(written: Path, tmp_path: Path) -> None:
    simulate(dataset(), tmp_path / "again", print)
    assert contents(tmp_path / "again") == contents(written)
    simulate(dataset(seed=188), tmp_path / "other", print)
    ours = {path.stem[10:16]: path for path in (written / "landsat_patches").glob("*_p00001.tif")}
    for path in (tmp_path / "other" / "landsat_patches").glob("*_p00001.tif"):
        with rasterio.open(path) as file, rasterio.open(ours[path.stem[10:16]]) as our_file:
            assert (file.read() != our_file.read()).mean() > 0.5


def test_a_half_written_file_is_replaced(written: Path, tmp_path: Path) -> None:
    first = next(iter(contents(written)))
    (tmp_path / first).parent.mkdir(parents=True)
    (tmp_path / first).write_bytes(b"II*\0 torn")
    simulate(dataset(), tmp_path, print)
    assert contents(tmp_path) == contents(written)


def test_patches_are_named_and_georeferenced_as_real_ones(written: Path) -> None:
    origins = defaultdict(set)
    numbers = defaultdict(set)
    for path in (written / "landsat_patches").glob("*.tif"):
        name = PatchName.parse(path.stem)
        with rasterio.open(path) as file:
            assert (file.count, file.height, file.width) == (10, 32, 32)
            assert set(file.dtypes) == {"uint16"}
            assert file.descriptions == FILE_BANDS
            assert file.read().min() >= 1
            assert (file.transform.a, file.transform.e) == (30, -30)
            # Five patches make a grid of three rows, numbered down the columns.
            column, row = divmod(int(name.number) - 1, 3)
            origins[name.scene].add((file.transform.c - column * 32 * 30, file.transform.f + row * 32 * 30))
            (longitude,), (latitude,) = transform(file.crs, "EPSG:4326", *([x] for x in file.xy(16, 16)))
        numbers[name.scene].add(int(name.number))
        assert np.allclose((latitude, longitude), wrs2_centre(name.path, name.row), atol=0.1)
        assert str(file.crs) == f"EPSG:{32601 + int((longitude + 180) // 6)}"
    assert len(origins) == 2
    assert all(len(origin) == 1 for origin in origins.values())
    assert all(found == {1, 2, 3, 4, 5} for found in numbers.values())


def test_masks_exist_only_where_there_is_fire(written: Path) -> None:
    masks = list((written / "manual_annotations_patches").glob("*.tif"))
    assert masks
    for path in masks:
        name = PatchName.parse(path.stem)
        assert name.label == "v1"
        with (
            rasterio.open(path) as mask,
            rasterio.open(written / "landsat_patches" / f"{name.image}.tif") as image,
        ):
            assert (mask.count, mask.dtypes, mask.transform, mask.crs) == (
                1,
                ("uint8",),
                image.transform,
                image.crs,
            )
            assert set(np.unique(mask.read())) in ({0, 1}, {1})


def test_no_fire_share_gives_no_masks(tmp_path: Path) -> None:
    simulate(dataset(fire_share=0), tmp_path, print)
    assert len(list(tmp_path.rglob("landsat_patches/*.tif"))) == 10
    assert not list(tmp_path.rglob("manual_annotations_patches/*.tif"))


@pytest.mark.parametrize(("patch_size", "patches"), [(8, 1), (8, 2), (40, 3)])
def test_small_and_odd_grids_work(patch_size: int, patches: int, tmp_path: Path) -> None:
    simulate(dataset(patch_size=patch_size, patches_per_scene=patches, scenes=1, fire_share=1), tmp_path, print)
    assert len(list((tmp_path / "landsat_patches").iterdir())) == patches


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_patches(tmp_path: Path) -> None:
    def peak(patches: int) -> int:
        tracemalloc.start()
        simulate(dataset(scenes=1, patches_per_scene=patches), tmp_path / str(patches), print)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    peak(1)  # what is loaded once
    assert peak(24) < 1.3 * peak(6)


# Windows


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1, 3, 9])
def test_a_patch_is_the_same_alone_and_in_a_larger_window(index: int) -> None:
    scene = list(scenes(dataset(scenes=12, patches_per_scene=16, patch_size=64)))[index]
    whole = render(scene, Window(0, 0, 256, 256))
    assert whole.label.any()
    for number in range(1, 17):
        tile = scene.tile(number)
        part = render(scene, tile)
        place = (..., slice(tile.row, tile.row + 64), slice(tile.column, tile.column + 64))
        np.testing.assert_array_equal(part.dn, whole.dn[place])
        np.testing.assert_array_equal(part.label, whole.label[place])


@cache
def larger_window() -> tuple[Scene, Rendered]:
    scene = next(scenes(dataset(scenes=1, patches_per_scene=16, fire_share=1)))
    return scene, render(scene, Window(-4, -4, 132, 132))


@pytest.mark.slow
@settings(max_examples=12)
@given(st.integers(0, 90), st.integers(0, 90), st.integers(1, 38), st.integers(1, 38))
def test_any_window_is_a_cut_of_any_larger_one(row: int, column: int, height: int, width: int) -> None:
    scene, whole = larger_window()
    part = render(scene, Window(row, column, height, width))
    place = (..., slice(row + 4, row + 4 + height), slice(column + 4, column + 4 + width))
    np.testing.assert_array_equal(part.dn, whole.dn[place])
    np.testing.assert_array_equal(part.label, whole.label[place])


# Noise


@pytest.mark.slow
def test_noise_is_standard_normal_on_and_between_its_nodes() -> None:
    for field in (
        lambda seed: smooth(seed, Window(-40, 7, 24, 24), 8.0),
        lambda seed: fractal(seed, Window(-40, 7, 24, 24), 16.0),
        lambda seed: white(seed, Window(-40, 7, 24, 24)),
    ):
        stack = np.array([field(seed) for seed in range(0, 800)])
        assert np.abs(stack.mean(0)).max() < 0.2
        assert np.abs(stack.std(0) - 1).max() < 0.15


def test_fields_of_neighbouring_seeds_are_unrelated() -> None:
    window = Window(0, 0, 300, 300)
    fields = np.array([white(seed, window).ravel() for seed in range(8)])
    assert np.abs(np.corrcoef(fields) - np.eye(8)).max() < 0.02
    # A hash that mixed seed and place by XOR alone would hold one field's values at other places of another.
    assert not np.isin(fields[0], fields[1]).any()


# Scenes


@pytest.mark.parametrize("seed", [187, 1])
def test_a_hundred_scenes_share_no_ground(seed: int) -> None:
    found = list(scenes(dataset(scenes=100, seed=seed)))
    for index, one in enumerate(found):
        assert 1 <= one.path <= 233
        assert 1 <= one.row <= 122  # the descending half of the orbit
        assert one.sun_elevation > 25
        for other in found[:index]:
            assert abs(one.path - other.path) > 1 or abs(one.row - other.row) > 1


def test_fewer_scenes_are_the_first_of_more() -> None:
    few, more = (list(scenes(dataset(scenes=number))) for number in (3, 20))
    assert [(s.path, s.row, s.acquired, s.seed) for s in few] == [(s.path, s.row, s.acquired, s.seed) for s in more[:3]]


@pytest.mark.parametrize(
    ("path", "flown"),
    [
        (99, date(2020, 8, 27)), (117, date(2020, 8, 25)), (117, date(2020, 9, 26)), (25, date(2020, 9, 21)),
        (20, date(2015, 8, 4)), (166, date(2020, 8, 16)), (193, date(2020, 9, 14)), (204, date(2020, 8, 10)),
    ],
)  # fmt: skip
def test_pass_days_are_those_of_real_products(path: int, flown: date) -> None:
    assert all(pass_day(path, flown - timedelta(days=lead)) == flown for lead in range(16))


def test_scene_centres_are_those_of_real_products() -> None:
    assert np.allclose(wrs2_centre(20, 39), (30.30, -87.01), atol=0.25)  # centre of the product's corners


def test_sun_elevation_follows_from_place_and_date() -> None:
    for scene in scenes(dataset(scenes=12)):
        assert scene.sun_elevation == sun_elevation(scene.centre[0], scene.acquired)


# Fires


@pytest.mark.slow
def test_fires_are_spread_over_the_scenes_in_the_share_that_was_asked_for(samples: list[Sample]) -> None:
    assert np.mean([sample.label.any() for sample in samples]) == pytest.approx(0.4, abs=0.06)
    burning = {sample.scene.path for sample in samples if sample.label.any()}
    assert len(burning) == 12


def test_fire_share_is_exact_in_what_is_lit() -> None:
    for share in (0.0, 0.1, 0.37, 1.0):
        found = list(scenes(dataset(scenes=7, patches_per_scene=10, fire_share=share)))
        assert sum(len(scene.fire_numbers) for scene in found) == round(share * 70)


@pytest.mark.slow
def test_fires_are_of_all_sizes(samples: list[Sample]) -> None:
    sizes = [int(sample.label.sum()) for sample in samples if sample.label.any()]
    assert min(sizes) <= 3
    assert max(sizes) >= 100
    assert np.median(sizes) < 0.5 * np.mean(sizes)  # heavy-tailed


@pytest.mark.slow
def test_murphy_finds_most_of_the_label_and_is_baited_now_and_then(samples: list[Sample]) -> None:
    found = missed = false = 0
    for sample in samples:
        named = dict(zip(FILE_BANDS, sample.dn, strict=True))
        detected = detect(["murphy"], named, sample.scene.sun_elevation)["murphy"]
        found += (detected & sample.label).sum()
        missed += (~detected & sample.label).sum()
        false += (detected & ~sample.label).sum()
    assert 0.7 < found / (found + missed) < 0.97
    assert 0 < false < found + missed


@pytest.mark.slow
def test_fires_clip_and_fold_as_the_sensor_does(samples: list[Sample]) -> None:
    b6, b7 = (
        np.concatenate([sample.dn[FILE_BANDS.index(band)][sample.label] for sample in samples]) for band in ("B6", "B7")
    )
    assert 0.05 < (b7 == 65535).mean() < 0.25
    assert 0 < ((b7 < 25000) & (b6 > 30000)).mean() < 0.02
    assert np.median(b7 * REFLECTANCE_MULT + REFLECTANCE_ADD) == pytest.approx(0.55, abs=0.2)


def test_fire_reflectance_follows_planck() -> None:
    """0.5 % of a pixel at 1,000 K adds 0.613 in B7 and 0.0915 in B6 at 1 au (worked by hand)."""
    april, flame = date(2020, 4, 4), np.array([1000.0])
    assert 0.005 * fire_reflectance("B7", flame, april)[0] == pytest.approx(0.613, rel=0.02)
    assert 0.005 * fire_reflectance("B6", flame, april)[0] == pytest.approx(0.0915, rel=0.02)


@pytest.mark.slow
def test_fires_show_in_the_thermal_bands(samples: list[Sample]) -> None:
    b10 = FILE_BANDS.index("B10")
    warmer = [np.median(s.dn[b10][s.label].astype(float)) > np.median(s.dn[b10]) for s in samples if s.label.sum() > 20]
    assert np.mean(warmer) > 0.8


@pytest.mark.slow
def test_land_lies_in_the_range_of_real_patches(samples: list[Sample]) -> None:
    """Medians of patch 099069 p00819 of the active fire data set."""
    real = np.array([9728, 8915, 8196, 8168, 12568, 11743, 8469, 5037, 28727, 25337])
    simulated = np.median([np.median(sample.dn, axis=(1, 2)) for sample in samples], axis=0)
    assert np.all(np.abs(simulated / real - 1) < 0.3)
