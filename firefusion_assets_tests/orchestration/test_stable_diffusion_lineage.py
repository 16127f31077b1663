"""Engines `stable-diffusion` and `files` through the assets: every method, a trainer that fails or is killed, real
patches.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import pytest
import rasterio
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.numpy import load_file

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.core.dilation import dilated
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Launch, Painter
from firefusion_assets_tests.builders.commands import cli_command, cli_environment, firefusion, run_cli
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, REAL_STUDY, needs_patches
from firefusion_assets_tests.builders.studies import (
    REPOSITORY,
    TINY_STUDY,
    LoadDefinitions,
    asset_key,
    lineage_job,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow

DREAMBOOTH = """
generator:
  {engine: stable-diffusion, base_model: ./base, method: dreambooth, crop: 16, resolution: 64, mask_variants: 2,
   train_batch_size: 2, learning_rate: 1.0e-3, max_train_steps: 4, checkpointing_steps: 2}
sampling: {images: 4, max_tries: 8, batch_size: 4, steps: 2}
screening: {detectors: [], min_changed: 0}
"""
CONFIGS = {
    "dreambooth": DREAMBOOTH.replace("dreambooth,", "dreambooth, validation_steps: 2,"),
    "none": DREAMBOOTH.replace("dreambooth,", "none,"),
    "text-encoder": DREAMBOOTH.replace("dreambooth,", "dreambooth, train_text_encoder: true,"),
    "prior": DREAMBOOTH.replace(
        "dreambooth,", "dreambooth, prior_preservation: {class_prompt: satellite imagery, num_class_images: 3},"
    ),
    "lora": DREAMBOOTH.replace("dreambooth,", "lora, lora: {rank: 4},"),
    "lora-kept": DREAMBOOTH.replace("dreambooth,", "lora, lora: {rank: 4, merge: false},"),
    "lora-nowhere": DREAMBOOTH.replace("dreambooth,", "lora, lora: {target_modules: [no_such_layer]},"),
    "files": """
generator: {engine: files, images: ./painted}
sampling: {images: 4, max_tries: 8, batch_size: 4}
screening: {detectors: []}
""",
}
TO_SCREENED = (
    "augmentation_config", "finetuned_model", "inpainting_masks", "synthetic_images", "screened_images",
)  # fmt: skip
ONLY_SHARED = ("landsat_patches", "scene_split")


@pytest.fixture(autouse=True)
def quick_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a model's sheet be painted in two steps: the default's fifty take longer than all the rest."""
    sampling = {"steps": 2, "mixed_precision": "no"}
    monkeypatch.setattr(StableDiffusionGenerator, "sheet_sampling", lambda generator: sampling)


def run_assets(
    defs: dg.Definitions, key: str, assets: Sequence[str], instance: dg.DagsterInstance | None = None, **options: Any
) -> dg.ExecuteInProcessResult:
    """Run some assets of the lineage for one key, whose upstream assets are there already."""
    return lineage_job(defs).execute_in_process(
        partition_key=key, instance=instance or dg.DagsterInstance.ephemeral(),
        asset_selection=[asset_key(asset) for asset in assets], **options,
    )  # fmt: skip


def weights(artifact: Artifact, part: str = "unet") -> dict[str, npt.NDArray[Any]]:
    return weights_of(artifact.path / "fold-0" / part)


def weights_of(folder: Path) -> dict[str, npt.NDArray[Any]]:
    (file,) = folder.glob("*.safetensors")
    return dict(load_file(file))


def changed_names(one: dict[str, npt.NDArray[Any]], other: dict[str, npt.NDArray[Any]]) -> set[str]:
    assert set(one) == set(other)
    return {name for name in one if not np.array_equal(one[name], other[name])}


def painted(lineage: Lineage, key: str) -> tuple[pd.DataFrame, npt.NDArray[np.uint16]]:
    """Return provenance and images of what a key's first fold painted; all of it lies inside the edit masks."""
    folder = lineage.find("synthetic_images", key).path / "fold-0" / "replicate-0"
    rows = pd.read_parquet(folder / "provenance.parquet")
    images = np.concatenate([np.load(path) for path in sorted(folder.glob("chunk-*.npy"))])
    edits = np.load(lineage.find("inpainting_masks", key).path / "fold-0" / "replicate-0" / "edits.npy")
    patches = Patches(lineage.find("landsat_patches", "_").path / "base.lmdb")
    assert len(rows) == len(images) > 0
    for background, image, packed in zip(rows["background"], images, edits, strict=False):
        edit = np.unpackbits(packed, axis=-1, count=image.shape[-1]).astype(bool)
        np.testing.assert_array_equal(image[:, ~edit], patches.read(background).bands[:, ~edit])
        assert (image[:, edit] >= 1).all()
    return rows, images


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a config of each method; patches and split are there, and no model yet."""
    folder = write_study(tmp_path_factory.mktemp("diffusion") / "tiny", TINY_STUDY, CONFIGS)
    save_tiny_pipeline(folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        assert run_assets(loaded(folder, patch), "none", ONLY_SHARED).success
    return folder


def test_dreambooth_runs_to_a_figure_and_shows_how_it_looked_on_the_way(
    study: Path, load_definitions: LoadDefinitions
) -> None:
    instance = dg.DagsterInstance.ephemeral()
    job = lineage_job(load_definitions(study))
    result = job.execute_in_process(partition_key="dreambooth", instance=instance)
    assert result.success
    (event,) = result.asset_materializations_for_node("tiny__finetuned_model")
    for name in ("validation-0000002", "validation-0000004", "picture"):
        picture = event.metadata[name].value
        assert isinstance(picture, str) and picture.startswith("![") and len(picture) < 130_000
    assert event.metadata["n_steps"].value == 4
    log = [entry.message for entry in instance.all_logs(result.run_id)]
    assert any("step 4 of 4, loss" in line for line in log)
    lineage = lineage_of(study)
    model = lineage.find("finetuned_model", "dreambooth")
    assert changed_names(weights(model), weights_of(study / "base" / "unet"))
    assert not changed_names(weights(model, "text_encoder"), weights_of(study / "base" / "text_encoder"))
    assert not list((model.path / "fold-0").glob("checkpoint-*"))
    rows, _ = painted(lineage, "dreambooth")
    assert set(rows["engine"]) == {"stable-diffusion"} and set(rows["bit_depth"]) == {16}
    assert lineage.find("augmented_lmdb", "dreambooth").facts["n_added"] == 4
    assert (lineage.find("screened_images", "dreambooth").path / "sheet.png").is_file()
    report = lineage.store.pointed("augmentation_report", "_")
    assert report is not None
    assert pd.read_csv(report.path / "comparison.csv").set_index("key").loc["dreambooth", "status"] == "current"


def train_here(context: dg.AssetExecutionContext) -> Launch:
    """Train in this process: starting another one is tested with `dreambooth`, and takes longer than the training."""

    def launch(trainer: str, job: Path) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        resolve_name(trainer)(job, lambda message: None)

    return launch


def test_every_other_method_trains_what_it_says_and_paints(
    study: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firefusion_assets.orchestration.trainer.launched_by", train_here)
    defs, keys = load_definitions(study), ("none", "text-encoder", "prior", "lora", "lora-kept")
    for key in keys:
        assert run_assets(defs, key, TO_SCREENED).success
    lineage = lineage_of(study)
    models = {key: lineage.find("finetuned_model", key) for key in keys}
    base = {part: weights_of(study / "base" / part) for part in ("unet", "text_encoder")}
    images = {}
    for key in keys:
        _, images[key] = painted(lineage, key)
        assert lineage.find("screened_images", key).facts["n_images"] == 4
    assert not list(models["none"].path.rglob("*.safetensors"))
    assert changed_names(weights(models["text-encoder"]), base["unet"])
    assert changed_names(weights(models["text-encoder"], "text_encoder"), base["text_encoder"])
    assert changed_names(weights(models["prior"]), base["unet"])
    assert not changed_names(weights(models["prior"], "text_encoder"), base["text_encoder"])
    assert not list(models["prior"].path.rglob("class*"))

    adapted = changed_names(weights(models["lora"]), base["unet"])
    targets = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
    assert adapted == {name for name in base["unet"] if name.endswith(targets)}
    kept = models["lora-kept"].path / "fold-0"
    assert [path.name for path in kept.rglob("*.safetensors")] == ["pytorch_lora_weights.safetensors"]
    # The same training, so the same paint, but for the rounding of adding the adapters' product to the weights.
    np.testing.assert_allclose(images["lora"].astype(int), images["lora-kept"].astype(int), atol=20)
    assert (images["lora"] != images["none"]).any()


def test_a_trainer_that_fails_fails_the_step_with_its_reason(study: Path, load_definitions: LoadDefinitions) -> None:
    instance = dg.DagsterInstance.ephemeral()
    result = run_assets(
        load_definitions(study), "lora-nowhere", ("augmentation_config", "finetuned_model"), instance,
        raise_on_error=False,
    )  # fmt: skip
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "tiny__finetuned_model"
    log = [entry.dagster_event for entry in instance.all_logs(result.run_id)]
    reported = [event.engine_event_data.error for event in log if event is not None and event.is_engine_event]
    (reason,) = [error.message for error in reported if error is not None]
    assert "no_such_layer" in reason and "not found in the base model" in reason
    assert lineage_of(study).store.pointed("finetuned_model", "lora-nowhere") is None


def test_images_painted_elsewhere_come_back_through_the_lineage(
    study: Path, load_definitions: LoadDefinitions, tmp_path: Path
) -> None:
    defs = load_definitions(study)
    assert run_assets(defs, "files", ("augmentation_config", "inpainting_masks")).success
    firefusion("handout", "files", tmp_path / "pairs", study=study)
    pairs = pd.read_csv(tmp_path / "pairs" / "pairs.csv")
    (study / "painted").mkdir()
    by_row = {}
    for pair in pairs.itertuples():
        pixels = np.asarray(Image.open(tmp_path / "pairs" / pair.background)).copy()
        mask = np.asarray(Image.open(tmp_path / "pairs" / pair.mask)) == 255
        pixels[mask] = (250, 180 - pair.row, 40)
        pixels[~mask] //= 2  # as a web UI would, that changes all of an image a little
        Image.fromarray(pixels).save(study / "painted" / pair.image)
        by_row[pair.row] = pixels
    assert len(by_row) == 8

    assert run_assets(defs, "files", (*TO_SCREENED, "augmented_lmdb")).success
    lineage = lineage_of(study)
    rows, images = painted(lineage, "files")
    assert set(rows["bit_depth"]) == {8}
    edits = np.load(lineage.find("inpainting_masks", "files").path / "fold-0" / "replicate-0" / "edits.npy")
    bands = Patches(lineage.find("landsat_patches", "_").path / "base.lmdb").meta.bands
    for row, image, packed in zip(rows["row"], images, edits, strict=False):
        edit = np.unpackbits(packed, axis=-1, count=image.shape[-1]).astype(bool)
        for channel, band in enumerate(("B7", "B6", "B2")):
            expected = by_row[row][edit, channel].astype(int) * 257
            np.testing.assert_array_equal(image[bands.index(band), edit], expected)
    assert lineage.find("augmented_lmdb", "files").facts["n_added"] == 4


LONG = DREAMBOOTH.replace("max_train_steps: 4", "max_train_steps: 40").replace("_steps: 2}", "_steps: 5}")
TO_MODEL = ("landsat_patches", "scene_split", "augmentation_config", "finetuned_model")


@pytest.mark.faults
def test_fine_tuning_killed_in_the_shell_goes_on_to_the_same_weights(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    killed, whole = (
        write_study(tmp_path / name / "study", TINY_STUDY, {"dreambooth": LONG}) for name in ("killed", "whole")
    )
    for folder in (killed, whole):
        save_tiny_pipeline(folder / "base")
    command = (
        "dagster", "asset", "materialize", "-m", "firefusion_assets.definitions",
        "--select", ",".join(f"tiny/{asset}" for asset in TO_MODEL),
        "--partition", "dreambooth",
    )  # fmt: skip
    run = subprocess.Popen(
        cli_command(*command), env=cli_environment(killed, tmp_path / "home"), cwd=REPOSITORY,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(killed.glob("artifacts/fitted_models/.work/*/fold-0/checkpoint-*.pt")):
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    trainers = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait(timeout=30)  # a killed process ends as soon as the kernel lets it
    assert trainers and not psutil.wait_procs(trainers, timeout=10)[1], "the trainer went on without its run"
    assert not list(killed.glob("artifacts/fitted_models/.work/*/fold-0/history.csv")), "it finished without its run"

    again = run_cli(*command, study=killed, home=tmp_path / "home")
    assert again.returncode == 0, again.stderr[-3000:]
    assert "resumed at step" in again.stdout + again.stderr
    assert run_assets(load_definitions(whole), "dreambooth", TO_MODEL).success
    models = [lineage_of(folder).find("finetuned_model", "dreambooth") for folder in (killed, whole)]
    assert models[0].fingerprint == models[1].fingerprint
    assert weights(models[0]) and not changed_names(weights(models[0]), weights(models[1]))
    histories = [(model.path / "fold-0" / "history.csv").read_bytes() for model in models]
    assert histories[0] == histories[1] and len(histories[0].splitlines()) == 41


@needs_patches
def test_the_lineage_runs_on_real_patches(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    config = DREAMBOOTH.replace("crop: 16", "crop: 32").replace("images: 4, max_tries: 8", "images: 3")
    study = write_study(tmp_path / "mini", REAL_STUDY.replace("BANDS", "bands: [B2, B6, B7]"), {"dreambooth": config})
    save_tiny_pipeline(study / "base")
    assert materialize(load_definitions(study), "dreambooth", to="dice_metrics").success
    lineage = lineage_of(study)
    painted(lineage, "dreambooth")
    assert lineage.find("augmented_lmdb", "dreambooth").facts["n_added"] == 3


@pytest.fixture(scope="module")
def real_fire(tmp_path_factory: pytest.TempPathFactory) -> tuple[PatchPart, Painter]:
    """The real patch of ten bands with two fire fronts, and a tiny pretrained model that paints windows of it."""
    folder = tmp_path_factory.mktemp("real-fire")
    name = "LC08_L1TP_099069_20200827_20200827_01_RT"
    with rasterio.open(REAL_PATCHES / "landsat_patches" / f"{name}_p00819.tif") as file:
        bands = file.read()
    with rasterio.open(REAL_PATCHES / "masks_patches" / f"{name}_Weak_p00819.tif") as file:
        label = file.read(1) > 0
    with PatchWriter(folder / "store", StoreMeta(study="real", bands=FILE_BANDS, patch_size=256)) as writer:
        writer.add_patch("p00819", Patch(bands, label, np.zeros_like(label)))
    part = PatchPart(Patches(folder / "store"), ["p00819"])
    generator = StableDiffusionGenerator(
        engine="stable-diffusion", base_model=str(save_tiny_pipeline(folder / "base")), method="none",
        area="crop", crop=16, resolution=128,
    )  # fmt: skip
    fit(generator, part, folder / "model")
    return part, generator.load(folder / "model", Sampling(images=1, steps=4))


@needs_patches
@pytest.mark.parametrize(
    "pixels",
    [((40, 40), (40, 44), (120, 200), (250, 3)), ((60, 60), (60, 61), (61, 60), (61, 61))],
    ids=["four single pixels", "a block of 2 x 2"],
)
def test_a_fire_of_four_pixels_changes_its_edit_mask_on_a_real_patch_and_nothing_else(
    real_fire: tuple[PatchPart, Painter], pixels: tuple[tuple[int, int], ...]
) -> None:
    part, painter = real_fire
    background = part.read("p00819").bands
    label = np.zeros((256, 256), bool)
    label[tuple(zip(*pixels, strict=True))] = True
    edit = dilated(label, 3)
    assert label.sum() == 4 and edit.sum() > 4
    (image,) = painter.paint(background[None], label[None], edit[None], np.array([7]))
    composite = [FILE_BANDS.index(band) for band in ("B7", "B6", "B2")]
    others = [channel for channel in range(len(FILE_BANDS)) if channel not in composite]
    changed = image != background
    assert not changed[:, ~edit].any()
    assert changed[composite][:, label].all()
    surroundings = changed[composite].any(axis=0)[edit & ~label]
    assert surroundings.mean() > 0.9
    assert changed[others][:, label].any(axis=0).all() and not changed[others][:, ~label].any()
