"""What people really bring is read as they mean it, or refused by name with a remedy: never silently wrong."""

import codecs
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy as copy_raster

from firefusion_assets.ingest.base_store import left_out
from firefusion_assets.ingest.sources.patch_inputs import BadInputError
from firefusion_assets.study import load_study
from firefusion_assets_tests.builders.ingesting import activefire, folder_study, run
from firefusion_assets_tests.builders.rasters import SCENES, write_activefire, write_raster
from firefusion_assets_tests.builders.studies import REPOSITORY

NAMES = ("hill1", "lake1", "lake2")


def images_of(folder: Path, dtype: str = "uint16", **profile: Any) -> dict[str, np.ndarray]:
    """Write an image and a mask for each name; return the images."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(1, 120, (2, 8, 8)).astype(dtype) for name in NAMES}
    for name, array in arrays.items():
        write_raster(folder / "i" / f"{name}_img.tif", array, **profile)
        mask = np.zeros((1, 8, 8), np.uint8)
        mask[0, 2:4, 2:4] = 1
        write_raster(folder / "m" / f"{name}_msk.tif", mask)
    return arrays


def refused(folder: Path, *expected: str, **dataset: Any) -> None:
    """Each problem of the raw input is one of the expected ones, and they come at once."""
    with pytest.raises(BadInputError) as error:
        run(folder_study(**dataset), folder, folder / "out")
    problems = error.value.problems
    assert len(problems) == len(expected), problems
    for words in expected:
        assert any(words in problem for problem in problems), (words, problems)


def test_linked_folders_and_files_are_read(tmp_path: Path) -> None:
    images_of(tmp_path)
    for kind in ("i", "m"):
        elsewhere = tmp_path / "elsewhere" / kind
        elsewhere.mkdir(parents=True)
        for name in ("lake1", "lake2"):
            (file,) = (tmp_path / kind).glob(f"{name}_*")
            file.rename(elsewhere / file.name)
        (tmp_path / kind / "season2").symlink_to(elsewhere)
        (elsewhere / "back").symlink_to(tmp_path / kind)
    _, table, _ = run(folder_study(), tmp_path, tmp_path / "out")
    assert table.index.tolist() == [f"{name}_img" for name in NAMES]


def test_a_study_behind_a_link_with_spaces_and_umlauts_is_read(tmp_path: Path) -> None:
    real = tmp_path / "Größe und Höhe"
    real.mkdir()
    images_of(real)
    (real / "augmentations").mkdir()
    settings = folder_study().model_dump(mode="json", exclude_defaults=True, exclude={"dataset": {"groups"}})
    settings["dataset"]["groups"] = {"pattern": r"(?P<group>[a-z]+)\d+_img\.tif"}
    text = yaml.safe_dump(settings, allow_unicode=True).replace("\n", "\r\n")
    (real / "study.yaml").write_bytes(codecs.BOM_UTF8 + text.encode())
    (tmp_path / "link").symlink_to(real)
    _, table, _ = run(load_study(tmp_path / "link"), tmp_path / "link", tmp_path / "out")
    assert table.index.tolist() == [f"{name}_img" for name in NAMES]


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    images_of(tmp_path)
    (tmp_path / "i" / "lake3_img.tif").symlink_to("gone.tif")
    refused(tmp_path, "lake3_img.tif: is a link to nothing")


def test_files_that_nothing_reads_are_told(tmp_path: Path) -> None:
    images_of(tmp_path)
    (tmp_path / "i" / "more.jpg").touch()
    (tmp_path / "i" / ".DS_Store").touch()
    facts, _, _ = run(folder_study(), tmp_path, tmp_path / "out")
    assert left_out(facts) == [f"1 files are no GeoTIFF and not read: {tmp_path / 'i' / 'more.jpg'}"]


def test_eight_bits_among_sixteen_are_refused(tmp_path: Path) -> None:
    images_of(tmp_path)
    write_raster(tmp_path / "i" / "hill1_img.tif", np.ones((2, 8, 8), np.uint8))
    refused(tmp_path, "hill1_img.tif: is of type uint8, as 1 of", "is of type uint16, as 2 of", on_bad_input="skip")


def test_other_scales_are_refused(tmp_path: Path) -> None:
    images_of(tmp_path)
    with rasterio.open(tmp_path / "i" / "lake2_img.tif", "r+") as file:
        file.scales = (0.1, 0.1)
    refused(tmp_path, "lake2_img.tif: is of type uint16 and declares 0.1 * DN + 0, as 1 of", "uint16, as 2 of")


def test_the_range_is_that_of_the_widest_type(tmp_path: Path) -> None:
    images_of(tmp_path, "int16")
    write_raster(tmp_path / "i" / "lake2_img.tif", np.full((2, 8, 8), 40_000, np.uint16))
    _, _, patches = run(folder_study(), tmp_path, tmp_path / "out")
    assert patches.meta.dn_max == 65535 and (patches.read("lake2_img").bands == 40_000).all()


@pytest.mark.parametrize(
    ("values", "nodata", "words"),
    [
        ([0, 255], 255, "255 is its only value besides 0, and also its nodata"),
        ([0, 1], 1, "1 is its only value besides 0, and also its nodata"),
        ([0, -1], None, "holds values -1; a mask is 0, or a whole number above 0"),
        ([0, 0.25, 1, 0.5], None, "holds values 0.25, 0.5; a mask is"),
        ([0, np.nan, 1], None, "holds values nan; a mask is"),
    ],
)
def test_masks_that_are_none_are_refused_by_name(
    tmp_path: Path, values: list[float], nodata: float | None, words: str
) -> None:
    images_of(tmp_path)
    mask = np.resize(np.array(values, np.float32), (1, 8, 8))
    write_raster(tmp_path / "m" / "lake1_msk.tif", mask, nodata=nodata)
    refused(tmp_path, f"lake1_msk.tif: {words}")


@pytest.mark.parametrize(("ignore", "nodata"), [(255, None), (-1, None), (255, 255)])
def test_a_value_that_means_unknown_is_a_setting(tmp_path: Path, ignore: int, nodata: int | None) -> None:
    images_of(tmp_path)
    mask = np.zeros((1, 8, 8), np.int16)
    mask[0, 0] = ignore
    write_raster(tmp_path / "m" / "lake1_msk.tif", mask, nodata=nodata)
    _, _, patches = run(folder_study(mask_ignore=ignore), tmp_path, tmp_path / "out")
    patch = patches.read("lake1_img")
    assert patch.ignore[0].all() and not patch.ignore[1:].any() and not patch.label.any()


@settings(max_examples=40)
@given(
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32"]),
    nodata=st.sampled_from([None, 0, 7, 255, -9999, 65535]),
    own_mask=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_a_file_declares_as_no_data_is_fill(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, nodata: int | None, own_mask: bool, seed: int
) -> None:
    """Oracle: fill where all bands are nodata or masked out; without either, where all bands are 0."""
    folder = tmp_path_factory.mktemp("fill")
    arrays, rng = images_of(folder, dtype), np.random.default_rng(seed)
    info = np.iinfo(dtype)
    nodata = nodata if nodata is None or info.min <= nodata <= info.max else None
    array = arrays["lake1"]
    array[:, rng.random((8, 8)) < 0.3] = nodata if nodata is not None else 0
    array[0, rng.random((8, 8)) < 0.3] = nodata if nodata is not None else 0
    hidden = rng.random((8, 8)) < 0.2 if own_mask else np.zeros((8, 8), bool)
    path = folder / "i" / "lake1_img.tif"
    write_raster(path, array, nodata=nodata)
    if own_mask:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=bool(seed % 2)), rasterio.open(path, "r+") as file:
            file.write_mask(np.where(hidden, 0, 255).astype(np.uint8))
    _, _, patches = run(folder_study(), folder, folder / "out")
    patch = patches.read("lake1_img")
    missing = (array == nodata if nodata is not None else np.zeros_like(array, bool)) | hidden
    fill = missing.all(0) if nodata is not None or own_mask else (array == 0).all(0)
    np.testing.assert_array_equal(patch.ignore, fill)
    np.testing.assert_array_equal(patch.bands, np.where(missing | fill, 0, array))
    assert not (patch.label & fill).any()


@pytest.mark.parametrize("own_mask", [True, False])
def test_landsats_own_masks_and_nodata_are_fill_too(tmp_path: Path, own_mask: bool) -> None:
    folder = write_activefire(tmp_path / "data", SCENES[:1])
    bands = np.full((10, 16, 16), 9000, np.uint16)
    bands[:, :3] = 65535
    path = write_raster(folder / "images" / f"{SCENES[0]}_p00001.tif", bands, nodata=None if own_mask else 65535)
    if own_mask:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            file.write_mask(np.where(bands[0] == 65535, 0, 255).astype(np.uint8))
    _, _, patches = run(activefire(), folder, tmp_path / "out")
    patch = patches.read(f"{SCENES[0]}_p00001")
    assert patch.ignore[:3].all() and not patch.ignore[3:].any()


def test_a_group_that_a_pattern_leaves_open_is_a_problem_for_each_patch(tmp_path: Path) -> None:
    images_of(tmp_path)
    pattern = r"(?:(?P<group>lake\d)|.*)_img\.tif"
    refused(tmp_path, "hill1_img.tif: dataset.groups.pattern finds no group", groups={"pattern": pattern})


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (("a", "", "b"), "lake1_img.tif: has no group"),
        (("a", "  ", "b"), "lake1_img.tif: has no group"),
        (("a", "Lake", "lake "), "groups 'Lake' and 'lake ' differ only by spaces or letter case"),
        (("a", "caf\u00e9", "cafe\u0301"), "differ only by spaces or letter case"),
    ],
)
def test_groups_that_nobody_can_tell_apart_are_refused(tmp_path: Path, groups: tuple[str, ...], words: str) -> None:
    images_of(tmp_path)
    rows = [f"{name}_img.tif,{group}" for name, group in zip(NAMES, groups, strict=True)]
    (tmp_path / "groups.csv").write_text("\n".join(["image,group", *rows]), encoding="utf-8")
    refused(tmp_path, words, groups={"table": "groups.csv"})


def test_ids_and_patch_names_are_used_once(tmp_path: Path) -> None:
    images_of(tmp_path)
    shutil.copy(tmp_path / "i" / "lake1_img.tif", tmp_path / "i" / "lake1_img.tiff")
    shutil.copy(tmp_path / "m" / "lake1_msk.tif", tmp_path / "m" / "lake01_msk.tif")
    pairs = {"image": r"[a-z]+0?(?P<id>.+)_img\.tiff?", "mask": r"[a-z]+0?(?P<id>.+)_msk\.tif"}
    with pytest.raises(BadInputError) as error:
        run(folder_study(pairs=pairs), tmp_path, tmp_path / "out")
    message = str(error.value)
    assert "lake1_img.tiff: its patch would be named as that of" in message
    assert "lake1_img.tif: has id '1' as hill1_img.tif does; change dataset.pairs.image" in message
    assert "change dataset.pairs.mask so that each mask has its own" in message


def test_rows_of_a_table_are_used_once_and_whole(tmp_path: Path) -> None:
    images_of(tmp_path)
    rows = ["image;mask;group", *(f"{name}_img.tif;{name}_msk.tif;{name}" for name in NAMES)]
    (tmp_path / "pairs.csv").write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    dataset = {"pairs": {"table": "pairs.csv"}, "groups": None}
    _, table, _ = run(folder_study(**dataset), tmp_path, tmp_path / "out")
    assert table["group"].tolist() == list(NAMES)
    (tmp_path / "pairs.csv").write_text("\n".join([*rows, rows[1], "lake2_img.tif"]))
    refused(tmp_path, "pairs.csv:5: names image 'hill1_img.tif' as", "pairs.csv:6: has 1 cells", **dataset)


def test_images_without_a_mask_are_a_problem_or_counted(tmp_path: Path) -> None:
    images_of(tmp_path)
    (tmp_path / "m" / "lake2_msk.tif").unlink()
    refused(tmp_path, "lake2_img.tif: has no mask; add it, or set dataset.missing_mask: event-free")
    facts, table, _ = run(folder_study(missing_mask="event-free"), tmp_path, tmp_path / "out")
    assert table.loc["lake2_img", "fire_pixels"] == 0
    assert left_out(facts) == ["1 images without a mask count as event-free (dataset.missing_mask)"]
    folder = write_activefire(tmp_path / "data", SCENES[:1])
    with pytest.raises(BadInputError, match=r"p00002\.tif: has no mask"):
        run(activefire(missing_mask="fail"), folder, tmp_path / "out")


def test_going_on_without_bad_input_goes_on_without_what_is_unclear(tmp_path: Path) -> None:
    """An image without its mask is no event-free one, and no image belongs to two masks, rows or groups at once."""

    def left(folder: Path, **dataset: Any) -> list[str]:
        facts, table, _ = run(folder_study(on_bad_input="skip", **dataset), folder, folder / "out")
        assert facts["n_bad_files"] > 0 and facts["n_without_mask"] == 0
        return table.index.tolist()

    for case in ("mask", "id", "row", "group"):
        images_of(tmp_path / case)
    (tmp_path / "mask" / "m" / "lake2_msk.tif").unlink()
    assert left(tmp_path / "mask") == ["hill1_img", "lake1_img"]
    same_id = {"image": r"(?P<id>[a-z]+)\d_img\.tif", "mask": r"(?P<id>[a-z]+)\d_msk\.tif"}
    assert left(tmp_path / "id", pairs=same_id) == ["hill1_img"]
    rows = ["image,mask,group", *(f"{name}_img.tif,{name}_msk.tif,{name}" for name in NAMES)]
    (tmp_path / "row" / "pairs.csv").write_text("\n".join([*rows, "lake1_img.tif,,lake1"]))
    assert left(tmp_path / "row", pairs={"table": "pairs.csv"}, groups=None) == ["hill1_img", "lake2_img"]
    (tmp_path / "group" / "groups.csv").write_text("image,group\nhill1_img.tif,a\nlake1_img.tif,b\nlake2_img.tif,B\n")
    assert left(tmp_path / "group", groups={"table": "groups.csv"}) == ["hill1_img"]
    folder = write_activefire(tmp_path / "data", SCENES[:1])
    _, table, _ = run(activefire(missing_mask="fail", on_bad_input="skip"), folder, tmp_path / "out")
    assert table.index.tolist() == [f"{SCENES[0]}_p00001"]


@pytest.mark.parametrize(
    ("crs", "shift", "words"),
    [
        ("EPSG:32633", 1e-7, None),
        ("EPSG:32633", 0.02, None),  # 30 m pixels: less than 1e-3 px
        ("EPSG:32633", 0.04, "lies elsewhere than its image (by 0.00133 px)"),
        ("EPSG:32633", 30, "lies elsewhere than its image (by 1 px)"),
        ("EPSG:32634", 0, "lies elsewhere than its image (CRS EPSG:32634 instead of EPSG:32633)"),
        (None, 30, "lies elsewhere than its image (by 1 px)"),
    ],
)
def test_masks_lie_where_their_images_do(tmp_path: Path, crs: str | None, shift: float, words: str | None) -> None:
    images_of(tmp_path, crs="EPSG:32633")
    place = rasterio.Affine(30, 0, 500_000 + shift, 0, -30, 4_000_000)
    profile = {"driver": "GTiff", "count": 1, "height": 8, "width": 8, "dtype": "uint8", "crs": crs}
    with rasterio.open(tmp_path / "m" / "lake1_msk.tif", "w", transform=place, **profile) as file:
        file.write(np.eye(8, dtype=np.uint8), 1)
    if words is None:
        run(folder_study(), tmp_path, tmp_path / "out")
    else:
        refused(tmp_path, f"lake1_msk.tif: {words}")


def test_archives_of_other_systems_are_read(tmp_path: Path) -> None:
    arrays = images_of(tmp_path)
    for kind in ("i", "m"):
        with zipfile.ZipFile(tmp_path / f"{kind}.zip", "w") as archive:
            for file in sorted((tmp_path / kind).iterdir()):
                archive.write(file, f"photos\\{file.name}")
                archive.writestr(f"__MACOSX/photos/._{file.name}", "resource fork")
                archive.writestr(f"photos/._{file.name}", "resource fork")
            archive.writestr("photos/.DS_Store", "")
    facts, table, patches = run(folder_study(images="i.zip", masks="m.zip"), tmp_path, tmp_path / "out")
    assert table.index.tolist() == [f"{name}_img" for name in NAMES] and left_out(facts) == []
    np.testing.assert_array_equal(patches.read("lake1_img").bands, arrays["lake1"])


def zipped_images(folder: Path) -> bytearray:
    images_of(folder)
    with zipfile.ZipFile(folder / "i.zip", "w") as archive:
        for file in sorted((folder / "i").iterdir()):
            archive.write(file, file.name)
    return bytearray((folder / "i.zip").read_bytes())


def test_a_zip_packed_in_another_way_is_told_with_the_remedy(tmp_path: Path) -> None:
    content = zipped_images(tmp_path)
    first = content.index(b"PK\x01\x02")
    content[first + 10 : first + 12] = (9).to_bytes(2, "little")  # Deflate64, in the directory's first entry
    (tmp_path / "i.zip").write_bytes(content)
    with pytest.raises(BadInputError, match=r"i\.zip/hill1_img\.tif: packed in a way .*; unpack it by hand"):
        run(folder_study(images="i.zip"), tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "changes",
    [{0: b"PKxx"}, {6: (99).to_bytes(2, "little")}, {9: b"\x08", 46: b"\xff"}],
    ids=["damage", "version", "a name that is said to be UTF-8"],
)
def test_a_zip_with_a_directory_nobody_can_read_is_told(tmp_path: Path, changes: dict[int, bytes]) -> None:
    content = zipped_images(tmp_path)
    first = content.index(b"PK\x01\x02")
    for offset, value in changes.items():
        content[first + offset : first + offset + len(value)] = value
    (tmp_path / "i.zip").write_bytes(content)
    with pytest.raises(FileNotFoundError, match=r"i\.zip: can't be read as a zip .*; fetch it again"):
        run(folder_study(images="i.zip"), tmp_path, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("declared", [None, 8 * 8 * 2 * 2], ids=["told", "hidden"])
def test_a_member_that_inflates_far_past_its_patch_is_refused_before_it_is_in_memory(
    tmp_path: Path, declared: int | None
) -> None:
    """In a process of its own: what a process takes at most is known for its whole life alone."""
    content, mib = zipped_images(tmp_path), 300
    with zipfile.ZipFile(tmp_path / "i.zip", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lake3_img.tif", bytes(mib * 2**20))
    shutil.copy(tmp_path / "m" / "lake2_msk.tif", tmp_path / "m" / "lake3_msk.tif")
    small = (tmp_path / "i.zip").read_bytes()
    assert len(small) < len(content) + 2**19
    if declared is not None:  # the directory says that it is small
        size = (mib * 2**20).to_bytes(4, "little")
        assert small.count(size) == 2
        (tmp_path / "i.zip").write_bytes(small.replace(size, declared.to_bytes(4, "little")))
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from firefusion_assets.ingest.sources.patch_inputs import BadInputError\n"
        "from firefusion_assets_tests.builders.ingesting import folder_study, run\n"
        "folder, images = Path(sys.argv[1]), sys.argv[2]\n"
        "try: run(folder_study(images=images), folder, folder / f'out of {images}')\n"
        "except BadInputError as error: print(error.problems)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), images],
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
        ).stdout.splitlines()
        for images in ("i", "i.zip")
    ]
    (*_, without), (told, with_it) = outputs
    assert (int(with_it) - int(without)) / 1024 < 50
    if declared is None:
        words = r"i\.zip/lake3_img\.tif: takes 300 MiB unpacked, and a file of 8 x 8 px with 2 bands 16 MiB at most"
        assert re.search(words + r" \(red, nir\); correct dataset\.patch_size .*; if it is right, unpack the zip", told)
    else:
        assert re.search(r"i\.zip/lake3_img\.tif: can't be read \(Bad CRC-32", told)


def test_patches_without_data_are_told_with_bands_and_remedy(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data")
    for scene in SCENES[:2]:
        bands = np.full((10, 16, 16), 9000, np.uint16)
        bands[6] = 0
        write_raster(folder / "images" / f"{scene}_p00002.tif", bands)
    facts, _, _ = run(activefire(), folder, tmp_path / "out")
    assert facts["empty_bands"] == {"B7": 2}
    assert left_out(facts)[0] == (
        "2 patches left out: every pixel is fill (band B7 of 2 holds nothing: leave it out of dataset.bands, or repair "
        "the files)"
    )


@pytest.mark.parametrize(
    "profile",
    [
        {"driver": "COG"},
        {"driver": "GTiff", "BIGTIFF": "YES"},
        {"driver": "GTiff", "compress": "LZW", "predictor": 2},
        {"driver": "GTiff", "compress": "ZSTD"},
        {"driver": "GTiff", "compress": "LERC"},
        {"driver": "GTiff", "tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "pixel"},
        {"driver": "GTiff", "compress": "DEFLATE", "interleave": "band"},
    ],
    ids=lambda profile: "-".join(str(value) for value in profile.values()),
)
def test_each_way_to_write_a_geotiff_gives_the_same_patches(tmp_path: Path, profile: dict[str, Any]) -> None:
    arrays = images_of(tmp_path, crs="EPSG:32633")
    for name in NAMES:
        path = tmp_path / "i" / f"{name}_img.tif"
        shutil.move(path, tmp_path / "plain.tif")
        copy_raster(tmp_path / "plain.tif", path, **profile)
    _, table, patches = run(folder_study(), tmp_path, tmp_path / "out")
    assert table.index.tolist() == [f"{name}_img" for name in NAMES]
    for name, array in arrays.items():
        np.testing.assert_array_equal(patches.read(f"{name}_img").bands, array)


@pytest.mark.parametrize(
    "transform", [(30, 0, 5e5, 0, 30, 4e6), (21, 21, 5e5, 21, -21, 4e6)], ids=["south-up", "rotated"]
)
def test_rasters_that_are_not_north_up_are_read(tmp_path: Path, transform: tuple[float, ...]) -> None:
    arrays = images_of(tmp_path)
    for kind in ("i", "m"):
        for path in (tmp_path / kind).iterdir():
            with rasterio.open(path, "r+") as file:
                file.transform, file.crs = rasterio.Affine(*transform), "EPSG:32633"
    _, _, patches = run(folder_study(), tmp_path, tmp_path / "out")
    np.testing.assert_array_equal(patches.read("lake1_img").bands, arrays["lake1"])
