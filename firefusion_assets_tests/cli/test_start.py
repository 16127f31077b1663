"""A study for a newcomer's files: what is proposed works as it is, and what can't be known is told."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from PIL import Image

from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets.study import augmentation_keys, load_study
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.rasters import write_activefire, write_raster
from firefusion_assets_tests.builders.studies import REPOSITORY, asset_key, lineage_job, loaded

KEYS = ["baseline", "copy-paste", "native", "plain"]


def write_png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def files(folder: Path, kind: str, n: int = 12, size: int = 16, event: int = 1) -> tuple[Path, Path]:
    """Images and masks of `n` patches of four lakes, as people name them; every third has an event."""
    rng = np.random.default_rng(1)
    images, masks = folder / "images", folder / "masks"
    for number in range(n):
        lake = f"lake{number % 4}"
        mask = np.zeros((size, size), np.uint8)
        mask[3:7, 4:9] = event * (number % 3 == 0)
        if kind == "png":
            write_png(images / f"{lake}_{number:02d}.png", rng.integers(0, 255, (size, size, 3), np.uint8))
            write_png(masks / f"{lake}_{number:02d}_mask.png", mask)
        elif kind == "suffixes":
            bands = rng.integers(1, 5000, (4, size, size)).astype(np.uint16)
            write_raster(images / f"{lake}-{number:02d}_image.tif", bands)
            write_raster(masks / f"{lake}-{number:02d}_mask.tif", mask[None])
        elif kind == "prefixes":
            write_raster(images / f"img_{lake}_{number}.tif", rng.integers(1, 255, (2, size, size), np.uint8))
            write_raster(masks / f"gt_{lake}_{number}.tif", mask[None])
        else:
            write_raster(images / f"{number:04d}.tif", rng.integers(1, 255, (5, size, size), np.uint8))
            write_raster(masks / f"{number:04d}.tif", mask[None])
    return images, masks


def init(folder: Path, *arguments: str | Path) -> str:
    return firefusion("init", folder, *arguments)


@pytest.mark.parametrize(("kind", "bands"), [("png", 3), ("suffixes", 4), ("prefixes", 2)])
def test_what_is_proposed_for_ones_own_images_is_checked_without_a_problem(
    tmp_path: Path, kind: str, bands: int
) -> None:
    images, masks = files(tmp_path, kind, event=255 if kind == "png" else 1)
    study = tmp_path / "My lakes"
    printed = init(study, "--images", images, "--masks", masks)
    assert "4 groups, such as" in printed and "name them in file order" in printed
    assert augmentation_keys(study) == KEYS
    settings = load_study(study)
    assert settings.name == "my-lakes"
    assert (settings.dataset.patch_size, len(settings.dataset.bands)) == (16, bands)
    assert settings.split.folds == 3, "events of four lakes"
    assert settings.training.bands == settings.dataset.bands, "what an event shows in isn't known"
    assert "No problem found." in firefusion("check", study=study)
    assert open_lineage(study).config("copy-paste").screening.detectors == ()


@pytest.mark.slow
def test_a_study_of_pngs_runs_to_the_split_with_the_groups_that_were_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = files(tmp_path, "png", event=255)
    study = tmp_path / "lakes"
    init(study, "--images", images, "--masks", masks)
    job = lineage_job(loaded(study, monkeypatch))
    selection = [asset_key(asset, "lakes") for asset in ("landsat_patches", "scene_split")]
    assert job.execute_in_process(
        partition_key="baseline", instance=dg.DagsterInstance.ephemeral(), asset_selection=selection
    ).success

    split = pd.read_parquet(open_lineage(study).find("scene_split", "").path / "split.parquet")
    assert sorted(split["group"].unique()) == ["lake0", "lake1", "lake2", "lake3"]
    tested = split[(split["part"] == "test") & (split["fire_pixels"] > 0)]
    assert split["fold"].nunique() == 3, "one fold would test one lake of four"
    assert sorted(tested["group"]) == ["lake0", "lake1", "lake2", "lake3"] and set(split["fire_pixels"]) == {0, 20}


def test_what_names_do_not_tell_is_asked_for(tmp_path: Path) -> None:
    images, masks = files(tmp_path, "equal")
    study = tmp_path / "study"
    printed = init(study, "--images", images, "--masks", masks)
    assert "dataset.groups: which images may show the same ground can't be told" in printed
    assert "groups.csv" in (study / "study.yaml").read_text()
    table = study / "groups.csv"
    assert f"has no group; write it down in {table}" in firefusion_refuses("check", study=study)
    table.write_text("".join(f"{row.replace('.tif', '')}a\n" for row in table.read_text().splitlines()[1:]))
    table.write_text("image,group\n" + table.read_text())
    assert "image '0000' is not in the images' folder; did you mean '0000.tif'?" in firefusion_refuses(
        "check", study=study
    )
    table.write_text("image,group\n" + "".join(f"{n:04d}.tif,lake{n % 4}\n" for n in range(12)))
    assert "No problem found." in firefusion("check", study=study)
    (masks / "0003.tif").rename(masks / "other.tif")
    printed = init(tmp_path / "again", "--images", images, "--masks", masks)
    assert "dataset.pairs: which mask belongs to which image can't be told" in printed
    assert (tmp_path / "again" / "pairs.csv").read_text().startswith("image,mask,group\n0000.tif,,\n")


def test_images_given_for_masks_are_noticed(tmp_path: Path) -> None:
    images, masks = files(tmp_path, "prefixes")
    refused = firefusion_refuses("init", tmp_path / "swapped", "--images", masks, "--masks", images)
    assert "has 2 bands, as images do" in refused and not (tmp_path / "swapped").exists()
    for number, path in enumerate(masks.iterdir()):
        write_raster(path, (np.arange(256, dtype=np.uint8).reshape(1, 16, 16) + number))
    printed = init(tmp_path / "study", "--images", images, "--masks", masks)
    assert "masks: hold 255 different values above 0, as images do. Are these the masks?" in printed


def test_a_wrong_pattern_is_told_once(tmp_path: Path) -> None:
    images, masks = files(tmp_path, "prefixes")
    study = tmp_path / "study"
    init(study, "--images", images, "--masks", masks)
    settings = yaml.safe_load((study / "study.yaml").read_text())
    settings["dataset"]["groups"] = {"pattern": "(?P<group>pond).*"}
    (study / "study.yaml").write_text(yaml.safe_dump(settings))
    told = [line for line in firefusion_refuses("check", study=study).splitlines() if "pond" in line]
    assert len(told) == 1 and "12 files (" in told[0] and "does not match dataset.groups.pattern" in told[0]


def test_what_is_odd_is_told(tmp_path: Path) -> None:
    images, masks = files(tmp_path, "suffixes", event=1)
    unknown = np.zeros((1, 16, 16), np.uint8)
    unknown[0, :2], unknown[0, 5] = 255, 1
    write_raster(masks / "lake0-00_mask.tif", unknown)
    (masks / "lake1-01_mask.tif").unlink()
    write_raster(images / "lake2-02_image.tif", np.ones((4, 20, 16), np.uint16))
    printed = init(tmp_path / "study", "--images", images, "--masks", masks)
    assert "dataset.mask_ignore: masks hold 255 beside smaller values" in printed
    assert "1 images have no mask (lake1-01_image.tif)" in printed
    assert "11 of 16 x 16 px with 4 bands, 1 of 20 x 16 px with 4 bands" in printed
    text = (tmp_path / "study" / "study.yaml").read_text()
    assert yaml.safe_load(text)["dataset"]["mask_ignore"] == 255
    told = [line.strip() for line in printed.splitlines() if line.startswith("  dataset")]
    assert len(told) == 5 and all(f"# Look at this: {line}" in text for line in told)


def test_landsat_bands_are_known_by_their_names(tmp_path: Path) -> None:
    images, masks = files(tmp_path, "suffixes")
    for path in images.iterdir():
        with rasterio.open(path, "r+") as raster:
            raster.descriptions = ("B2", "B5", "B6", "B7")
    study = tmp_path / "study"
    init(study, "--images", images, "--masks", masks)
    assert load_study(study).dataset.bands == ("B2", "B5", "B6", "B7")
    assert load_study(study).training.bands == ("B7", "B6", "B2")


def test_products_and_the_active_fire_set(tmp_path: Path) -> None:
    for name, arguments, source in (
        ("products", ("--products", tmp_path), "landsat"),
        ("fires", ("--like", "activefire"), "activefire"),
    ):
        init(tmp_path / name, *arguments)
        assert load_study(tmp_path / name).dataset.source == source
        assert all(open_lineage(tmp_path / name).config(key) for key in KEYS)


def test_the_demo_is_copied_as_it_is(tmp_path: Path) -> None:
    init(tmp_path / "mine", "--like", "demo")
    demo = REPOSITORY / "data" / "demo"
    for file in (demo / "study.yaml", *(demo / "augmentations").glob("*.yaml")):
        assert (tmp_path / "mine" / file.relative_to(demo)).read_text() == file.read_text()


def test_the_demo_command_runs_all_its_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("firefusion_assets.cli.run.run", lambda *arguments: asked.extend(arguments))
    monkeypatch.setattr("firefusion_assets.steps.reporting.report_table", lambda lineage: f"of {lineage.study.name}")
    folder = tmp_path / "demo"
    assert firefusion("demo", folder).endswith("of demo\n")
    assert asked == [augmentation_keys(REPOSITORY / "data" / "demo"), "augmentation_report", folder]
    (folder / "study.yaml").write_text((folder / "study.yaml").read_text().replace("name: demo", "name: changed"))
    assert firefusion("demo", folder).endswith("of changed\n"), "what is there stays"


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused = firefusion_refuses("init", tmp_path, "--images", tmp_path)
    assert "is not empty" in refused and "--images and --masks: give both" in refused
    assert "give one of --like" in firefusion_refuses("init", tmp_path / "new")
    missing = firefusion_refuses("init", tmp_path / "new", "--images", tmp_path / "a", "--masks", tmp_path / "b")
    assert str(tmp_path / "a") in missing and str(tmp_path / "b") in missing
    assert not (tmp_path / "new").exists()


def test_the_ui_shows_the_study_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dotenv import dotenv_values

    images, masks = files(tmp_path, "png")
    study = tmp_path / "lakes"
    init(study, "--images", images, "--masks", masks)
    assert yaml.safe_load((study / "workspace.yaml").read_text())["load_from"][0]["python_module"]["module_name"] == (
        "firefusion_assets.definitions"
    )
    monkeypatch.chdir(study)
    environment = dotenv_values(study / ".env")
    defs = loaded(Path(str(environment["FIREFUSION_STUDY"])), monkeypatch)
    assert {key.path[0] for key in defs.resolve_asset_graph().get_all_asset_keys()} == {"lakes"}


def test_patches_named_as_the_active_fire_set_are_read_as_it(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "af")
    (folder / "masks").rename(folder / "truth")
    printed = init(tmp_path / "study", "--images", folder / "images", "--masks", folder / "truth")
    assert "the truth is 'v1' of v1; 6 of 18 patches have such a mask" in printed
    dataset = load_study(tmp_path / "study").dataset
    assert dataset.source == "activefire" and dataset.mask_label == "v1"
    assert open_lineage(tmp_path / "study").config("native").screening.detectors == ("murphy",)
    assert "18 patches, 12 of them without a mask" in firefusion("check", study=tmp_path / "study")
