"""What `export` writes for GIS programs and in COCO's format, compared with what the store says."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from firefusion_assets.lineage.assets import AssetName
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.patchstore import Patch, Patches, PatchWriter, StoreMeta
from firefusion_assets.steps.coco_export import annotated
from firefusion_assets.steps.gis_export import outcomes
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

SIZE = 32
# Networks that have not learned that fire is rare: their predictions are wrong in both ways.
STUDY = f"""
name: tiny
dataset: {{source: simulated, scenes: 6, patches_per_scene: 4, patch_size: {SIZE}, fire_share: 0.5, seed: 3}}
split: {{train_fire_patches: 5}}
training:
  {{bands: [B7, B6, B2], filters: 2, steps: 30, batch_size: 4, validate_every: 30, checkpoint: last, warm_up_steps: 0,
   start_from_class_share: false}}
evaluation: {{threshold: 0.3}}
replicates: {{count: 2}}
"""
CONFIGS = {
    "baseline": TINY_CONFIGS["baseline"],
    "copy-paste": """
generator: {engine: copy-paste}
sampling: {images: 5, batch_size: 4}
screening: {detectors: [murphy], min_detected: 0.9}
""",
    "more-real": "generator: {engine: more-real, patches: 2}",
}


@dataclass(frozen=True)
class Measured:
    """A study whose configs were run, what it made, and an export of each form."""

    study: Path
    lineage: Lineage
    gis: Path
    coco: Path

    def table(self) -> pd.DataFrame:
        return pd.read_parquet(self.object("landsat_patches") / "patches.parquet").set_index("patch_id")

    def object(self, asset: AssetName, key: str = "copy-paste") -> Path:
        return self.lineage.find(asset, key).path

    def verdicts(self) -> pd.DataFrame:
        """Return the verdicts of all replicates, with the backgrounds of what was judged."""
        tables = []
        for number in range(2):
            folder = f"fold-0/replicate-{number}"
            judged = pd.read_parquet(self.object("screened_images") / folder / "verdicts.parquet")
            painted = pd.read_parquet(self.object("synthetic_images") / folder / "provenance.parquet")
            origin = painted[["synthetic_id", "background", "engine", "seed", "chunk", "place_in_chunk"]]
            tables.append(judged.assign(replicate=number, folder=folder, number=judged.index).merge(origin))
        return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder = tmp_path_factory.mktemp("exporting")
    study, cores = write_study(folder / "tiny", STUDY, CONFIGS), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # a process for each training takes longer than the trainings
    try:
        with pytest.MonkeyPatch.context() as patch:
            defs = loaded(study, patch)
            assert materialize(defs, "baseline", to="dice_metrics").success
            assert materialize(defs, "copy-paste").success
            assert materialize(defs, "more-real", to="augmented_lmdb").success
    finally:
        os.sched_setaffinity(0, cores)
    firefusion("export", "copy-paste", folder / "gis", "--form", "gis", study=study)
    firefusion("export", "copy-paste", folder / "coco", "--form", "coco", study=study)
    yield Measured(study, lineage_of(study), folder / "gis", folder / "coco")


def read(path: Path) -> npt.NDArray[Any]:
    with rasterio.open(path) as raster:
        values: npt.NDArray[Any] = raster.read()
    return values


def origins_of(verdicts: pd.DataFrame) -> dict[str, str]:
    return dict(zip(verdicts["synthetic_id"], verdicts["background"], strict=True))


def check_places(folder: Path, table: pd.DataFrame, origins: dict[str, str]) -> None:
    """Look whether a folder holds a valid COG for each patch, where its origin lies."""
    assert {path.name for path in folder.iterdir()} == {f"{patch_id}.tif" for patch_id in origins}
    for patch_id, origin in origins.items():
        file = folder / f"{patch_id}.tif"
        assert cog_validate(file, strict=True)[0]
        with rasterio.open(file) as raster:
            assert raster.crs == table.loc[origin, "crs"]
            assert list(raster.transform)[:6] == list(table.loc[origin, "transform"])


@pytest.mark.slow
def test_paint_lies_on_its_background_and_says_what_it_is(measured: Measured) -> None:
    verdicts = measured.verdicts()
    assert set(verdicts["accepted"]) == {True, False} and set(verdicts["replicate"]) == {0, 1}
    check_places(measured.gis / "painted", measured.table(), origins_of(verdicts))
    for row in verdicts.itertuples():
        with rasterio.open(measured.gis / "painted" / f"{row.synthetic_id}.tif") as raster:
            chunk = np.load(measured.object("synthetic_images") / row.folder / f"chunk-{row.chunk:05d}.npy")
            np.testing.assert_array_equal(raster.read(), chunk[row.place_in_chunk])
            assert raster.dtypes[0] == "uint16"
            assert list(raster.descriptions) == list(measured.lineage.study.dataset.bands)
            said = raster.tags()
        assert (said["SYNTHETIC"], said["BACKGROUND"], said["ENGINE"]) == ("yes", row.background, "copy-paste")
        assert (said["SEED"], said.get("REASON", "")) == (str(row.seed), row.reason)
        assert said["VERDICT"] == ("accepted" if row.accepted else "rejected")


@pytest.mark.slow
def test_labels_are_what_training_learns_from(measured: Measured) -> None:
    verdicts, seen = measured.verdicts(), set()
    check_places(measured.gis / "labels", measured.table(), origins_of(verdicts))
    for row in verdicts.itertuples():
        label, ignored = (
            np.unpackbits(np.load(measured.object("screened_images") / row.folder / f"{name}.npy")[row.number], axis=-1)
            for name in ("labels", "ignored")
        )
        file = measured.gis / "labels" / f"{row.synthetic_id}.tif"
        written = read(file)
        assert written.shape == (1, SIZE, SIZE) and written.dtype == np.uint8
        np.testing.assert_array_equal(written[0] == 2, ignored)
        np.testing.assert_array_equal(written[0] == 1, label & ~ignored & 1)
        seen |= set(np.unique(written).tolist())
        with rasterio.open(file) as raster:
            assert len({raster.colormap(1)[value] for value in (0, 1, 2)}) == 3
    assert seen == {0, 1, 2}
    # The same patches as the network's batches come from.
    store = Patches(
        measured.object("landsat_patches") / "base.lmdb", [measured.object("augmented_lmdb") / "overlay.lmdb"]
    )
    assert store.added_ids
    for patch_id in store.added_ids:
        patch, written = store.read(patch_id), read(measured.gis / "labels" / f"{patch_id}.tif")[0]
        np.testing.assert_array_equal(written, np.where(patch.ignore, 2, np.where(patch.label, 1, 0)))


@pytest.mark.slow
def test_predictions_count_as_the_metrics_of_the_first_network_do(measured: Measured) -> None:
    scored = pd.read_parquet(measured.object("dice_metrics") / "patches.parquet")
    others = scored[scored["replicate"] == 1].reset_index(drop=True)
    scored = scored[scored["replicate"] == 0].reset_index(drop=True)
    counts = ["tn", "tp", "fn", "fp"]
    assert (scored[counts].sum() > 0).all() and not scored[counts].equals(others[counts])
    check_places(measured.gis / "predictions", measured.table(), {name: name for name in scored["patch_id"]})
    for row in scored.itertuples():
        file = measured.gis / "predictions" / f"{row.patch_id}.tif"
        values = read(file)[0]
        assert [int((values == code).sum()) for code in range(4)] == [getattr(row, name) for name in counts]
        with rasterio.open(file) as raster:
            assert len({raster.colormap(1)[value] for value in (0, 1, 2, 3, 255)}) == 5 and raster.nodata == 255


def test_an_outcome_is_told_by_truth_and_prediction_unless_it_is_ignored() -> None:
    label, predicted, ignore = (np.array([bits], bool) for bits in ([0, 0, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1]))
    patch = Patch(np.zeros((1, 1, 5), np.uint16), label, ignore)
    assert outcomes(patch, predicted).tolist() == [[0, 3, 2, 1, 255]]


@pytest.mark.slow
def test_the_geopackage_holds_all_patches_with_their_figures(measured: Measured) -> None:
    real, painted = (gpd.read_file(measured.gis / "patches.gpkg", layer=name) for name in ("real", "painted"))
    table, split = measured.table(), pd.read_parquet(measured.object("scene_split") / "split.parquet")
    assert real.crs.to_epsg() == painted.crs.to_epsg() == 4326
    real = real.set_index("patch_id")
    assert sorted(real.index) == sorted(table.index)
    assert real["part"].to_dict() == split.set_index("patch_id")["part"].to_dict() and "held back" in set(real["part"])
    assert real["group"].to_dict() == split.set_index("patch_id")["group"].to_dict()
    for column in ("scene", "fire_pixels", "sun_elevation", "acquired"):
        assert real[column].to_dict() == table[column].to_dict()
    bounds = table[["west", "south", "east", "north"]]
    np.testing.assert_allclose(real.loc[bounds.index].geometry.bounds, bounds, rtol=0, atol=1e-6)
    scored = pd.read_parquet(measured.object("dice_metrics") / "patches.parquet")
    scored = scored[scored["replicate"] == 0].set_index("patch_id")
    for column in ("dice", "precision", "recall"):
        np.testing.assert_array_equal(real.loc[scored.index, column], scored[column])
        assert real[column].drop(scored.index).isna().all()
    assert scored["dice"].notna().any()

    verdicts = measured.verdicts().set_index("synthetic_id")
    painted = painted.set_index("patch_id")
    assert list(painted.index) == list(verdicts.index)
    columns = [
        "background",
        "replicate",
        "accepted",
        "reason",
        "label_pixels",
        "murphy_pixels",
        "nearest_distance",
        "copy",
    ]
    for column in columns:
        assert painted[column].fillna(-1).tolist() == verdicts[column].fillna(-1).tolist(), column
    assert painted.geometry.geom_equals(real.loc[verdicts["background"]].geometry, align=False).all()

    about = (measured.gis / "about.txt").read_text()
    assert "config copy-paste of study tiny" in about
    assert {measured.object("landsat_patches").name, measured.object("dice_metrics").name} <= set(about.split())


@pytest.mark.slow
def test_a_config_that_paints_nothing_has_predictions_and_real_patches(measured: Measured, tmp_path: Path) -> None:
    firefusion("export", "baseline", tmp_path / "out", "--form", "gis", study=measured.study)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions", "patches.gpkg", "about.txt"}
    assert set(pyogrio.list_layers(tmp_path / "out" / "patches.gpkg")[:, 0]) == {"real", "painted"}
    assert len(gpd.read_file(tmp_path / "out" / "patches.gpkg", layer="real")) == len(measured.table())
    assert gpd.read_file(tmp_path / "out" / "patches.gpkg", layer="painted").empty
    ours, theirs = (
        {path.name: read(path) for path in (folder / "predictions").iterdir()}
        for folder in (tmp_path / "out", measured.gis)
    )
    assert set(ours) == set(theirs) and any((ours[name] != theirs[name]).any() for name in ours)


def decoded(segmentation: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Decode an uncompressed RLE pixel by pixel, as COCO defines it."""
    height, width = segmentation["size"]
    mask, place, value = np.zeros((height, width), bool), 0, False
    for run in segmentation["counts"]:
        for _ in range(run):
            column, row = divmod(place, height)
            mask[row, column] = value
            place += 1
        value = not value
    assert place == height * width
    return mask


def around(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return a mask with its neighbours by side and corner."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.logical_or.reduce(shifted)


def is_one_piece(mask: npt.NDArray[np.bool_]) -> bool:
    found = np.zeros_like(mask)
    found[tuple(np.argwhere(mask)[0])] = True
    while (grown := around(found) & mask).sum() > found.sum():
        found = grown
    return bool((found == mask).all())


def check_annotations(folder: Path, part: str, patches: Patches, expected: list[str]) -> dict[str, Any]:
    """Compare the annotations of a part with the labels; return the images by patch."""
    content = json.loads((folder / "annotations" / f"{part}.json").read_text())
    assert [(category["id"], category["name"]) for category in content["categories"]] == [(1, "fire")]
    images = {image["file_name"].removesuffix(".tif"): image for image in content["images"]}
    assert sorted(images) == sorted(expected) and len(content["images"]) == len(expected)
    ids = [annotation["id"] for annotation in content["annotations"]]
    assert len(set(ids)) == len(ids) > 0
    for patch_id, image in images.items():
        patch = patches.read(patch_id)
        np.testing.assert_array_equal(read(folder / "images" / image["file_name"]), patch.bands)
        assert (image["width"], image["height"]) == (SIZE, SIZE)
        fires = [each for each in content["annotations"] if each["image_id"] == image["id"]]
        masks = [decoded(fire["segmentation"]) for fire in fires]
        union = np.zeros((SIZE, SIZE), bool)
        for fire, mask in zip(fires, masks, strict=True):
            assert is_one_piece(mask) and not (around(mask) & union).any(), "fires that touch are one"
            union |= mask
            ys, xs = np.nonzero(mask)
            assert fire["area"] == len(ys)
            assert fire["bbox"] == [xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1]
            assert (fire["category_id"], fire["iscrowd"]) == (1, 0)
        np.testing.assert_array_equal(union, patch.label & ~patch.ignore)
    return images


@pytest.mark.slow
def test_coco_annotates_each_fire_that_the_first_network_learns_from(measured: Measured) -> None:
    overlay = measured.object("augmented_lmdb") / "overlay.lmdb"
    patches = Patches(measured.object("landsat_patches") / "base.lmdb", [overlay])
    split = pd.read_parquet(measured.object("scene_split") / "split.parquet")
    verdicts = measured.verdicts()
    accepted = verdicts[verdicts["accepted"] & (verdicts["replicate"] == 0)]
    origins = origins_of(accepted)
    for part in ("train", "val", "test"):
        real = split.loc[split["part"] == part, "patch_id"].tolist()
        synthetic = list(origins) if part == "train" else []
        images = check_annotations(measured.coco, part, patches, [*real, *synthetic])
        assert [patch_id for patch_id, image in images.items() if image["synthetic"]] == synthetic
    in_parts = split.loc[split["part"] != "held back", "patch_id"]
    check_places(measured.coco / "images", measured.table(), {name: name for name in in_parts} | origins)


def test_an_annotation_as_it_is_written(tmp_path: Path) -> None:
    fires = ["#...", "#...", ".#.i", "...i"]
    label = np.array([[pixel in "#i" for pixel in line] for line in fires])
    ignore = np.array([[pixel == "i" for pixel in line] for line in fires])
    with PatchWriter(tmp_path, StoreMeta(study="t", bands=("B7",), patch_size=4)) as writer:
        writer.add_patch("burning", Patch(np.zeros((1, 4, 4), np.uint16), label, ignore))
        writer.add_patch("free", Patch(np.zeros((1, 4, 4), np.uint16), label & ignore, ignore))
    content = annotated(Patches(tmp_path), ["free", "burning"], {"burning"})
    assert content["images"] == [
        {"id": 1, "file_name": "free.tif", "width": 4, "height": 4, "synthetic": False},
        {"id": 2, "file_name": "burning.tif", "width": 4, "height": 4, "synthetic": True},
    ]
    segmentation = {"counts": [0, 2, 4, 1, 9], "size": [4, 4]}
    fire = {"id": 1, "image_id": 2, "category_id": 1, "segmentation": segmentation}
    assert content["annotations"] == [fire | {"area": 3, "bbox": [0, 0, 2, 3], "iscrowd": 0}]


@pytest.mark.slow
def test_real_patches_that_a_config_adds_are_not_synthetic(measured: Measured, tmp_path: Path) -> None:
    told = firefusion("export", "more-real", tmp_path / "out", "--form", "coco", study=measured.study)
    assert "fold-0/replicate-0" in told
    content = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text())
    added = [image for image in content["images"] if image["file_name"].startswith("held-back/")]
    assert len(added) == 2 and not any(image["synthetic"] for image in content["images"])
    for image in added:
        with rasterio.open(tmp_path / "out" / "images" / image["file_name"]) as raster:
            assert raster.crs == measured.table().loc[image["file_name"][len("held-back/") : -len(".tif")], "crs"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gis", "coco"])
def test_a_folder_with_something_in_it_is_left_alone(measured: Measured, tmp_path: Path, form: str) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    told = firefusion_refuses("export", "copy-paste", tmp_path, "--form", form, study=measured.study)
    assert f"{tmp_path}: is not empty" in told
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_what_was_not_made_is_told_with_the_command_that_makes_it(measured: Measured, tmp_path: Path) -> None:
    told = firefusion_refuses("export", "more-real", tmp_path / "out", "--form", "gis", study=measured.study)
    assert "dice_metrics of 'more-real'" in told and "firefusion run more-real" in told
    assert not (tmp_path / "out").exists()


def test_an_unknown_form_is_refused_with_the_nearest(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    told = firefusion_refuses("export", "baseline", tmp_path / "out", "--form", "coc", study=study)
    assert "no form 'coc'; did you mean coco? There are: thesis, gis, coco" in told
