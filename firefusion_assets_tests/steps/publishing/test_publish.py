"""What is published: the trained network, the paint that was learned from, and cards that say what is known."""

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from rasterio.warp import transform
from torch.utils.data import DataLoader

from firefusion_assets.patchstore import Patches
from firefusion_assets.patchstore.geo_dataset import GeoPatches
from firefusion_assets.steps.training_set import open_training_set
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.rasters import write_activefire
from firefusion_assets_tests.builders.studies import (
    TWO_REPLICATES,
    LoadDefinitions,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

hub = pytest.importorskip("huggingface_hub", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which `native` and `baseline` were run."""
    study = write_study(tmp_path_factory.mktemp("publish") / "tiny", TWO_REPLICATES)
    with pytest.MonkeyPatch.context() as patch:
        defs = loaded(study, patch)
        assert materialize(defs, "baseline", to="dice_metrics").success and materialize(defs, "native").success
    return study


@pytest.fixture(scope="module")
def published(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "native"
    printed = firefusion("publish", "native", folder, "--replicate", "1", study=study)
    assert "segmenter" in printed and "generator" in printed and "synthetic-set" in printed
    return folder


def card(folder: Path) -> tuple[dict[str, object], str]:
    """Return a card's metadata, read by the hub's own reader, and its text."""
    metadata = hub.metadata_load(folder / "README.md")
    assert isinstance(metadata, dict)
    return metadata, (folder / "README.md").read_text()


def test_the_network_is_the_trained_one_and_its_card_has_its_figures(study: Path, published: Path) -> None:
    lineage, folder = lineage_of(study), published / "segmenter"
    trained = lineage.find("trained_unet", "native").path / "fold-0" / "replicate-1"
    for name in ("network.safetensors", "network.json"):
        assert (folder / name).read_bytes() == (trained / name).read_bytes()
    assert (folder / "model.onnx").stat().st_size > 1000
    metadata, text = card(folder)
    summary = pd.read_parquet(lineage.find("dice_metrics", "native").path / "summary.parquet").set_index("replicate")
    results = hub.repocard_data.model_index_to_eval_results(metadata["model-index"])[1]
    shown = {result.metric_type: result.metric_value for result in results}
    assert shown["recall"] == pytest.approx(summary.loc[1, "recall"], abs=1e-4)
    if np.isfinite(float(summary.loc[1, "dice_micro"])):
        assert shown["dice"] == pytest.approx(summary.loc[1, "dice_micro"], abs=1e-4)
        assert f"| Dice | {100 * summary.loc[1, 'dice_micro']:.1f} |" in text
    assert metadata["license"] == "apache-2.0" and "simulated" in text
    assert "not decidable" in text, "the report's words"


def test_every_accepted_patch_is_in_the_set_with_the_label_that_was_learned(study: Path, published: Path) -> None:
    lineage, folder = lineage_of(study), published / "synthetic-set"
    table = pd.read_csv(folder / "metadata.csv")
    verdicts = pd.read_parquet(
        lineage.find("screened_images", "native").path / "fold-0" / "replicate-1" / "verdicts.parquet"
    )
    assert sorted(table["synthetic_id"]) == sorted(verdicts.loc[verdicts["accepted"], "synthetic_id"])
    overlay = lineage.find("augmented_lmdb", "native").path / "overlay.lmdb"
    learned = Patches(lineage.find("landsat_patches", "").path / "base.lmdb", [overlay], 0, 1)
    for row in table.itertuples():
        patch = learned.read(row.synthetic_id)
        with rasterio.open(folder / row.file_name) as image, rasterio.open(folder / row.label_file) as label:
            assert image.descriptions == learned.meta.bands
            np.testing.assert_array_equal(image.read(), patch.bands)
            expected = np.where(patch.ignore, 255, patch.label.astype(int))
            np.testing.assert_array_equal(label.read(1), expected)
    metadata, text = card(folder)
    assert metadata["task_categories"] == ["image-segmentation"]
    assert f"{len(table)} patches" in text and "burned where it is" in " ".join(text.split())
    assert hub.DatasetCardData(**{key: value for key, value in metadata.items() if key != "configs"}).to_yaml()


def test_the_generator_is_copied_with_its_card(study: Path, published: Path) -> None:
    made = lineage_of(study).find("finetuned_model", "native").path / "fold-0"
    names = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    folder = published / "generator"
    assert {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} == names | {Path("README.md")}
    metadata, text = card(folder)
    assert metadata["library_name"] == "diffusers" and "NativeInpaintPipeline" in text


def test_what_there_is_not_is_said(study: Path, tmp_path: Path) -> None:
    printed = firefusion("publish", "baseline", tmp_path / "base", study=study)
    assert "no generator" in printed and "no synthetic-set" in printed
    assert sorted(path.name for path in (tmp_path / "base").iterdir()) == ["segmenter"]
    assert "is not empty" in firefusion_refuses("publish", "baseline", tmp_path / "base", study=study)
    assert "firefusion run copy-paste" in firefusion_refuses("publish", "copy-paste", tmp_path / "new", study=study)
    refused = firefusion_refuses("publish", "baseline", tmp_path / "new", "--replicate", "5", study=study)
    assert "replicates 0 to 1" in refused and not (tmp_path / "new").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_set_feeds_a_plain_loop(study: Path, workers: int) -> None:
    dataset = open_training_set(study, "native", replicate=1)
    lineage = lineage_of(study)
    overlay = lineage.find("augmented_lmdb", "native").path / "overlay.lmdb"
    store = Patches(lineage.find("landsat_patches", "").path / "base.lmdb", [overlay], 0, 1)
    seen = []
    for batch in DataLoader(dataset, batch_size=4, shuffle=True, num_workers=workers):
        assert batch["image"].dtype == torch.float32 and batch["mask"].dtype == torch.int64
        for image, mask, patch_id in zip(batch["image"], batch["mask"], batch["id"], strict=True):
            patch = store.read(patch_id)
            rows = store.meta.band_rows(lineage.study.training.bands)
            np.testing.assert_array_equal(image.numpy(), patch.bands[rows].astype(np.float32))
            np.testing.assert_array_equal(mask.numpy(), np.where(patch.ignore, 255, patch.label.astype(int)))
            seen.append(patch_id)
    assert sorted(seen) == sorted(dataset.ids) and set(store.added_ids) <= set(seen)
    assert dataset[0]["crs"].startswith("EPSG:") and dataset[0]["bounds"].shape == (4,)


def test_patches_are_indexed_by_place_and_moment(study: Path) -> None:
    dataset = open_training_set(study, "native")
    patches = GeoPatches(dataset)
    assert len(patches) == len(dataset) and patches.crs.to_epsg() == 4326
    for number, (moment, box) in enumerate(zip(patches.index.index, patches.index.geometry, strict=True)):
        left, bottom, right, top = box.bounds
        sample = patches[slice(left, right), slice(bottom, top), slice(moment.left, moment.right)]
        assert sample["id"] == dataset.ids[number]
        edges = sample["bounds"].tolist()
        corners = transform(sample["crs"], "EPSG:4326", [edges[0], edges[2]], [edges[1], edges[3]])
        np.testing.assert_allclose([left, right, bottom, top], [*corners[0], *corners[1]], atol=1e-3)
    with pytest.raises(IndexError, match="sample whole patches"):
        patches[slice(0, 1), slice(0, 1), slice(pd.Timestamp("2001-01-01"), pd.Timestamp("2001-01-01"))]
    dataset.places = {}
    with pytest.raises(ValueError, match="no patch has a place"):
        GeoPatches(dataset)


def test_a_sampler_of_torchgeo_is_fed(study: Path) -> None:
    samplers = pytest.importorskip("torchgeo.samplers", reason="needs torchgeo")
    dataset = open_training_set(study, "native")
    patches = GeoPatches(dataset)
    sampler = samplers.PreChippedGeoSampler(patches, shuffle=True)
    seen = [one for batch in DataLoader(patches, batch_size=4, sampler=sampler) for one in batch["id"]]
    assert sorted(seen) == sorted(dataset.ids)

    middle = patches.index.geometry.iloc[0].centroid
    days = pd.Interval(pd.Timestamp("1980-01-01"), pd.Timestamp("2100-01-01"))
    near = samplers.PreChippedGeoSampler(patches, roi=middle.buffer(1e-6), toi=days)
    assert [sample["id"] for sample in DataLoader(patches, batch_size=None, sampler=near)] == [dataset.ids[0]]


def test_patches_without_a_place_have_none_in_what_is_given_out(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    """Own images often have no georeference: no CRS, no bounds, tables in place of outlines."""
    folder = write_activefire(tmp_path / "af", size=32)
    settings = f"""
name: nowhere
dataset: {{source: activefire, images: {folder / "images"}, masks: {folder / "masks"}, patch_size: 32,
  bands: [B7, B6, B2], sun_elevation: 50}}
training: {{bands: [B7, B6, B2], filters: 2, steps: 4, batch_size: 4, validate_every: 2}}
backgrounds: {{min_clear: 0}}
"""
    copied = "generator: {engine: copy-paste}\nsampling: {images: 4}\nscreening: {detectors: [], min_changed: 0}"
    study = write_study(tmp_path / "study", settings, {"baseline": "generator: {engine: none}", "copied": copied})
    assert materialize(load_definitions(study), "copied").success
    dataset = open_training_set(study, "copied")
    samples = next(iter(DataLoader(dataset, batch_size=len(dataset))))
    assert set(samples["crs"]) == {""} and samples["bounds"].isnan().all()

    printed = firefusion("publish", "copied", tmp_path / "out", study=study)
    assert "no generator" in printed
    images = list((tmp_path / "out" / "synthetic-set" / "images").iterdir())
    assert len(images) == len(pd.read_csv(tmp_path / "out" / "synthetic-set" / "metadata.csv")) > 0
    firefusion("export", "copied", tmp_path / "gis", "--form", "gis", study=study)
    for file in (*images, *(tmp_path / "gis" / "painted").iterdir()):
        with warnings.catch_warnings(), rasterio.open(file) as image:
            assert image.crs is None
    layers = {name: gpd.read_file(tmp_path / "gis" / "patches.gpkg", layer=name) for name in ("real", "painted")}
    assert {name: "geometry" in rows.columns for name, rows in layers.items()} == {"real": False, "painted": False}
    assert len(layers["real"]) == 18 and layers["painted"]["accepted"].sum() == len(images)
