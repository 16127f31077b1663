"""Raw patches become the base store; every bad file is named, and nothing is guessed."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.ingest.sources.listing import raw_listing
from firefusion_assets.ingest.sources.patch_inputs import BadInputError
from firefusion_assets_tests.builders.ingesting import activefire, folder_study, run
from firefusion_assets_tests.builders.rasters import SCENES, write_activefire, write_raster


def test_patches_and_masks_arrive_as_they_are(tmp_path: Path) -> None:
    import rasterio

    folder = write_activefire(tmp_path / "data")
    facts, table, patches = run(activefire(), folder, tmp_path / "out")
    assert (facts["n_patches"], facts["n_scenes"], facts["n_fire_patches"], facts["fire_pixels"]) == (
        18,
        6,
        6,
        72,
    )
    for patch_id in table.index:
        with rasterio.open(folder / "images" / f"{patch_id}.tif") as file:
            np.testing.assert_array_equal(patches.read(patch_id).bands, file.read())
    burning = patches.read(f"{SCENES[0]}_p00001")
    assert burning.label.sum() == 12 and burning.label[4:7, 4:8].all()
    assert not patches.read(f"{SCENES[0]}_p00002").label.any()
    assert table.loc[f"{SCENES[0]}_p00001", ["path", "row"]].tolist() == [10, 29]


def test_chosen_bands_come_by_name_in_the_chosen_order(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data", SCENES[:1])
    _, _, everything = run(activefire(), folder, tmp_path / "all")
    _, _, chosen = run(activefire(bands=["B10", "B2"]), folder, tmp_path / "two")
    patch_id = chosen.base_ids[0]
    np.testing.assert_array_equal(chosen.read(patch_id).bands, everything.read(patch_id).bands[[8, 1]])


def test_clouds_are_told_from_all_bands_of_a_file_whatever_is_kept(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data", SCENES[:1])
    cloudy = f"{SCENES[0]}_p00002"
    clear = np.array([9_000, 9_000, 9_000, 9_000, 16_000, 12_000, 9_000, 5_050, 25_000, 25_000], np.uint16)
    bands = np.repeat(clear, 256).reshape(10, 16, 16)
    bands[:6, :4] = 25_000
    write_raster(folder / "images" / f"{cloudy}.tif", bands)
    _, table, _ = run(activefire(bands=["B7"], sun_elevation=60), folder, tmp_path / "out")
    assert table.loc[cloudy, ["conditions", "clear_share", "cloud_share"]].tolist() == ["reflectance", 0.75, 0.25]
    _, table, _ = run(activefire(bands=["B7"]), folder, tmp_path / "sunless")
    assert table.loc[cloudy, "conditions"] == "" and np.isnan(table.loc[cloudy, "clear_share"])


def test_zips_as_downloaded_give_the_same_as_folders(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data")
    zipped = tmp_path / "zipped"
    zipped.mkdir()
    for name in ("images", "masks"):
        with zipfile.ZipFile(zipped / f"{name}.zip", "w") as archive:
            for file in (folder / name).iterdir():
                archive.write(file, f"some/folder/{file.name}")
            archive.writestr("../../evil.txt", "not a raster")
    _, table, patches = run(activefire(), folder, tmp_path / "a")
    zipped_study = activefire(images="images.zip", masks="masks.zip")
    _, zipped_table, zipped_patches = run(zipped_study, zipped, tmp_path / "b")
    assert table.index.tolist() == zipped_table.index.tolist()
    for patch_id in table.index:
        for a, b in zip(patches.read(patch_id), zipped_patches.read(patch_id), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not (tmp_path / "evil.txt").exists() and not list(tmp_path.rglob("evil.txt"))


def spoil(folder: Path) -> dict[str, str]:
    """Break one file in each way; return for each what its message must say."""
    images, masks = folder / "images", folder / "masks"
    a, b, c, d = SCENES[:4]
    truncated = images / f"{a}_p00002.tif"
    truncated.write_bytes(truncated.read_bytes()[:200])
    write_raster(images / f"{b}_p00002.tif", np.ones((10, 8, 16), np.uint16))
    write_raster(images / f"{c}_p00002.tif", np.ones((10, 16, 16), np.float32))
    write_raster(images / f"{d}_p00002.tif", np.ones((3, 16, 16), np.uint16))
    write_raster(images / "holiday.tif", np.ones((10, 16, 16), np.uint16))
    shutil.copy(images / f"{a}_p00001.tif", _made(images / "again") / f"{a}_p00001.tif")
    write_raster(masks / f"{a}_v1_p00777.tif", np.ones((1, 16, 16), np.uint8))
    write_raster(masks / f"{b}_v1_p00001.tif", np.full((1, 16, 16), 7, np.uint8))
    return {
        f"{a}_p00002.tif": "truncated",
        f"{b}_p00002.tif": "8 x 16 px",
        f"{c}_p00002.tif": "float32",
        f"{d}_p00002.tif": "3 bands",
        "holiday.tif": "not a patch name",
        f"{a}_p00001.tif": "duplicate",
        f"{a}_v1_p00777.tif": "mask without its image",
        f"{b}_v1_p00001.tif": "holds values 7; a mask is 0 or 1",
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_every_bad_file_is_named_at_once(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data")
    expected = spoil(folder)
    with pytest.raises(BadInputError) as error:
        run(activefire(), folder, tmp_path / "out")
    assert len(error.value.problems) == len(expected)
    for file, reason in expected.items():
        assert any(file in problem and reason in problem for problem in error.value.problems), (file, reason)
    assert "on_bad_input: skip" in str(error.value)


def test_skipping_goes_on_with_the_good_ones(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data")
    expected = spoil(folder)
    facts, table, _ = run(activefire(on_bad_input="skip"), folder, tmp_path / "out")
    # Four images can't be read and one mask makes its image useless.
    assert (len(table), facts["n_bad_files"]) == (18 - 5, len(expected))
    assert len(pd.read_csv(tmp_path / "out" / "bad_files.csv")) == len(expected)


def test_fill_is_ignored_and_empty_patches_are_left_out(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data", SCENES[:1])
    bands = np.full((10, 16, 16), 9000, np.uint16)
    bands[:, :, 10:] = 0
    write_raster(folder / "images" / f"{SCENES[0]}_p00001.tif", bands)
    write_raster(folder / "images" / f"{SCENES[0]}_p00003.tif", np.zeros((10, 16, 16), np.uint16))
    facts, table, patches = run(activefire(), folder, tmp_path / "out")
    patch = patches.read(f"{SCENES[0]}_p00001")
    assert patch.ignore[:, 10:].all() and not patch.ignore[:, :10].any()
    assert (facts["n_empty_patches"], len(table)) == (1, 2)


def test_missing_and_empty_folders_and_labels_are_clear(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images: there is no such folder or zip.*study\.yaml"):
        run(activefire(), tmp_path, tmp_path / "out")
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match="holds no .tif"):
        run(activefire(), tmp_path, tmp_path / "out")
    folder = write_activefire(tmp_path / "data")
    with pytest.raises(BadInputError, match=r"no mask labelled 'Voting' \(found: v1\)"):
        run(activefire(mask_label="Voting"), folder, tmp_path / "out")


def test_the_listing_changes_with_the_files_and_only_then(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data")
    study = activefire()
    before = raw_listing(study, folder)
    assert raw_listing(study, folder) == before
    write_raster(folder / "masks" / f"{SCENES[0]}_Other_p00001.tif", np.ones((1, 16, 16), np.uint8))
    assert raw_listing(study, folder) == before  # another label's masks are no input
    write_raster(folder / "images" / f"{SCENES[0]}_p00009.tif", np.ones((10, 16, 16), np.uint16))
    assert raw_listing(study, folder) != before


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_own_files_of_any_integer_type_are_paired_by_pattern(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(1, 120, (2, 8, 8)).astype(dtype) for name in ("lake1", "lake2", "hill1")}
    for name, array in arrays.items():
        write_raster(tmp_path / "i" / f"{name}_img.tif", array)
    write_raster(tmp_path / "m" / "lake2_msk.tif", np.full((1, 8, 8), 255, np.uint8))
    _, table, patches = run(folder_study(missing_mask="event-free"), tmp_path, tmp_path / "out")
    assert table["group"].to_dict() == {"hill1_img": "hill", "lake1_img": "lake", "lake2_img": "lake"}
    assert patches.meta.dn_max == min(65535, np.iinfo(dtype).max)
    assert patches.read("lake2_img").label.all() and not patches.read("lake1_img").label.any()
    for name, array in arrays.items():
        np.testing.assert_array_equal(patches.read(f"{name}_img").bands, array)


def test_what_a_mask_does_not_know_is_ignored(tmp_path: Path) -> None:
    mask = np.zeros((1, 8, 8), np.float32)
    mask[0, 0], mask[0, 1] = 1, 255
    for name, nodata, unknown in (("lake1", 255, 255), ("lake2", np.nan, np.nan), ("hill1", 0, 1)):
        write_raster(tmp_path / "i" / f"{name}_img.tif", np.ones((2, 8, 8), np.uint8))
        shown = np.where(mask == 255, unknown, mask).astype(np.float32)
        write_raster(tmp_path / "m" / f"{name}_msk.tif", shown, nodata=nodata)
    _, table, patches = run(folder_study(), tmp_path, tmp_path / "out")
    assert table["fire_pixels"].to_dict() == {"hill1_img": 16, "lake1_img": 8, "lake2_img": 8}
    assert [int(patches.read(name).ignore.sum()) for name in table.index] == [0, 8, 8]
    assert (patches.read("lake1_img").bands == 1).all()


def test_a_local_coordinate_system_is_no_place_on_earth(tmp_path: Path) -> None:
    local = 'LOCAL_CS["drawing",UNIT["metre",1]]'
    write_raster(tmp_path / "i" / "lake1_img.tif", np.ones((2, 8, 8), np.uint8), crs=local)
    write_raster(tmp_path / "i" / "hill1_img.tif", np.ones((2, 8, 8), np.uint8), crs="EPSG:32633")
    (tmp_path / "m").mkdir()
    write_raster(tmp_path / "m" / "hill1_msk.tif", np.ones((1, 8, 8), np.uint8), crs="EPSG:32633")
    _, table, _ = run(folder_study(missing_mask="event-free"), tmp_path, tmp_path / "out")
    assert table["west"].isna().to_dict() == {"hill1_img": False, "lake1_img": True}


def test_skipping_everything_says_that_nothing_is_left(tmp_path: Path) -> None:
    write_raster(tmp_path / "i" / "lake1_img.tif", np.ones((2, 9, 9), np.uint8))
    write_raster(tmp_path / "m" / "lake1_msk.tif", np.ones((1, 8, 8), np.uint8))
    with pytest.raises(BadInputError, match="Nothing is left without these files") as error:
        run(folder_study(on_bad_input="skip"), tmp_path, tmp_path / "out")
    assert "on_bad_input: skip" not in str(error.value)


def test_a_zip_that_was_cut_short_is_told(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data", SCENES[:1])
    (folder / "images.zip").write_bytes(b"PK" + bytes(500))
    with pytest.raises(FileNotFoundError, match=r"images\.zip: is no zip, or cut short; fetch it again"):
        run(activefire(images="images.zip"), folder, tmp_path / "out")


def test_own_files_are_paired_by_table(tmp_path: Path) -> None:
    for name in ("x", "y", "z"):
        write_raster(tmp_path / "i" / f"{name}.tif", np.ones((3, 8, 8), np.uint8))
    write_raster(tmp_path / "m" / "ym.tif", np.ones((1, 8, 8), np.uint8))
    (tmp_path / "pairs.csv").write_text("image,mask,group\nx.tif,,a\ny.tif,ym.tif,b\n")
    study = folder_study(pairs={"table": "pairs.csv"}, groups=None, file_bands=["red", "green", "nir"])
    with pytest.raises(BadInputError, match=r"z\.tif: is not in .*pairs\.csv"):
        run(study, tmp_path, tmp_path / "out")
    (tmp_path / "pairs.csv").write_text("image,mask,group\nx.tif,,a\ny.tif,ym.tif,b\nz.tif,,b\n")
    _, table, patches = run(study, tmp_path, tmp_path / "out")
    assert table["group"].tolist() == ["a", "b", "b"]
    assert patches.read("y").bands.shape == (2, 8, 8)
    before = raw_listing(study, tmp_path)
    (tmp_path / "pairs.csv").write_text("image,mask,group\nx.tif,,a\ny.tif,ym.tif,b\nz.tif,,other\n")
    assert raw_listing(study, tmp_path) != before  # a table is input too
    (tmp_path / "pairs.csv").write_text("picture,mask\n")
    with pytest.raises(ValueError, match="lacks column group, image"):
        run(study, tmp_path, tmp_path / "out")


def test_values_that_do_not_fit_the_store_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "i" / "a1_img.tif", np.full((2, 8, 8), -5, np.int16))
    write_raster(tmp_path / "m" / "a1_msk.tif", np.ones((1, 8, 8), np.uint8))
    with pytest.raises(BadInputError, match="from -5 to -5; integers from 0 to 65535 are read"):
        run(folder_study(), tmp_path, tmp_path / "out")
