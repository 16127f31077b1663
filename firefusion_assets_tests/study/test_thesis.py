"""Study `thesis`: its files are what they say, and its protocol runs to figures that plain counting confirms."""

import re
from html import unescape
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
import yaml

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.patchstore import Patch, Patches
from firefusion_assets.segmentation.trained import load_network
from firefusion_assets.study import augmentation_keys, load_augmentation, load_study
from firefusion_assets_tests.builders.studies import (
    REPOSITORY,
    TINY_CONFIGS,
    TINY_STUDY,
    LoadDefinitions,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

THESIS = REPOSITORY / "data" / "thesis"
PATCHES, EPOCHS = 9044, 200


def test_the_study_is_the_protocol() -> None:
    study = load_study(THESIS)
    steps_an_epoch = int(0.7 * PATCHES) // study.training.batch_size
    assert study.training.steps == EPOCHS * steps_an_epoch
    assert study.training.validate_every == 10 * steps_an_epoch
    assert (study.split.by, study.split.val_share, study.split.test_share) == ("patch", 0.3, 0)
    assert study.report.title == "a replication of the thesis' protocol, not a valid estimate"


def test_every_config_is_valid_and_takes_the_mask_as_the_label() -> None:
    study, keys = load_study(THESIS), augmentation_keys(THESIS)
    assert keys == ["baseline", "plain", "prior", "text-encoder"]
    assert load_augmentation(THESIS, "baseline", study).generator.engine == "none"
    resolution = {}
    for key in keys[1:]:
        config = load_augmentation(THESIS, key, study)
        assert isinstance(config.generator, StableDiffusionGenerator)
        assert (config.screening.label, config.screening.detectors, config.screening.min_changed) == ("mask", (), 0)
        resolution[key] = config.generator.resolution
    assert resolution == {"plain": 256, "prior": 512, "text-encoder": 256}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's split, evaluation and report on a few simulated patches, with a control instead of a download."""
    values = yaml.safe_load((THESIS / "study.yaml").read_text())
    values["dataset"] = {
        "source": "simulated", "scenes": 6, "patches_per_scene": 8, "patch_size": 32, "fire_share": 0.4, "seed": 3,
    }  # fmt: skip
    values["training"] |= {"filters": 4, "steps": 90, "validate_every": 15, "learning_rate": 0.003}
    plain = yaml.safe_load((THESIS / "augmentations" / "plain.yaml").read_text())
    pasted = {
        "generator": {"engine": "copy-paste"},
        "masks": plain["masks"],
        "sampling": {"images": 6, "pairing": plain["sampling"]["pairing"]},
        "screening": plain["screening"],
    }
    configs = {
        "baseline": (THESIS / "augmentations" / "baseline.yaml").read_text(),
        "copy-paste": yaml.safe_dump(pasted),
    }
    folder = write_study(tmp_path_factory.mktemp("thesis") / "small", yaml.safe_dump(values), configs)
    with pytest.MonkeyPatch.context() as patch:
        defs = loaded(folder, patch)
        assert materialize(defs, "baseline", to="dice_metrics").success and materialize(defs, "copy-paste").success
    return folder


def report_of(study: Path) -> Artifact:
    report = lineage_of(study).store.pointed("augmentation_report", "_")
    assert report is not None
    return report


def val_patches(study: Path) -> dict[str, Patch]:
    """The patches of the validation part, by rising id."""
    lineage = lineage_of(study)
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    assert set(split["part"]) == {"train", "val"}
    base = Patches(lineage.find("landsat_patches", "_").path / "base.lmdb")
    return {patch_id: base.read(patch_id) for patch_id in sorted(split.loc[split["part"] == "val", "patch_id"])}


def plain_dice(found: dict[str, npt.NDArray[np.bool_]], patches: dict[str, Patch]) -> tuple[float, float]:
    """Dice over all pixels, and its mean over batches of 8 that contain fire, from sets of pixels."""
    truth, guess = set(), set()
    for place, (patch_id, patch) in enumerate(patches.items()):
        valid = ~patch.ignore
        truth |= {(place, *map(int, pixel)) for pixel in np.argwhere(patch.label & valid)}
        guess |= {(place, *map(int, pixel)) for pixel in np.argwhere(found[patch_id] & valid)}
    means = []
    for first in range(0, len(patches), 8):
        in_batch = [{pixel for pixel in pixels if first <= pixel[0] < first + 8} for pixels in (truth, guess)]
        if in_batch[0]:
            means.append(2 * len(in_batch[0] & in_batch[1]) / (len(in_batch[0]) + len(in_batch[1])))
    assert len(means) > 1
    return 2 * len(truth & guess) / (len(truth) + len(guess)), sum(means) / len(means)


@pytest.mark.slow
def test_networks_and_detector_are_scored_on_the_validation_part(study: Path) -> None:
    lineage, patches = lineage_of(study), val_patches(study)
    table = pd.read_csv(report_of(study).path / "comparison.csv").set_index("key")
    bands = lineage.study.dataset.bands
    for key in ("baseline", "copy-paste"):
        network, record = load_network(lineage.find("trained_unet", key).path / "fold-0" / "replicate-0")
        rows = [bands.index(band) for band in record.normalisation.bands]
        found = {}
        for patch_id, patch in patches.items():
            with torch.inference_mode():
                logits = network(record.normalisation.scale(torch.from_numpy(patch.bands[rows][None])))
            found[patch_id] = torch.sigmoid(logits)[0, 0].numpy() >= 0.5
        micro, batch_mean = plain_dice(found, patches)
        assert 0 < batch_mean < 1 and micro != batch_mean, "otherwise this test could not tell them apart"
        assert table.loc[key, "dice_mean"] == pytest.approx(batch_mean)
        assert table.loc[key, "dice_0"] == pytest.approx(batch_mean)
        assert table.loc[key, "dice_micro"] == pytest.approx(micro)
        # The figure that chose the checkpoint: what makes this a replication and no estimate.
        assert record.val_dice_micro == pytest.approx(micro)
        scored = pd.read_parquet(lineage.find("dice_metrics", key).path / "patches.parquet")
        assert scored["patch_id"].tolist() == list(patches)

    sun = pd.read_parquet(lineage.find("landsat_patches", "_").path / "patches.parquet").set_index("patch_id")
    detected = {
        patch_id: detect(
            ["murphy"], dict(zip(bands, patch.bands, strict=True)), float(sun.loc[patch_id, "sun_elevation"])
        )["murphy"]
        for patch_id, patch in patches.items()
    }
    micro, batch_mean = plain_dice(detected, patches)
    assert table.loc["murphy", "dice_mean"] == pytest.approx(batch_mean)
    assert table.loc["murphy", "dice_micro"] == pytest.approx(micro)


@pytest.mark.slow
def test_the_report_is_headed_a_replication(study: Path) -> None:
    page = (report_of(study).path / "report.html").read_text()
    (heading,) = re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)
    assert unescape(heading) == "a replication of the thesis' protocol, not a valid estimate"
    top = page.split("<table")[0]
    for words in ("the checkpoint was chosen on the same patches", "The split is leaky", "There is one replicate"):
        assert words in top


@pytest.mark.slow
def test_another_part_is_evaluated_without_training_again(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    folder = write_study(tmp_path / "study", TINY_STUDY, {"baseline": TINY_CONFIGS["baseline"]})
    store = ArtifactStore(folder / "artifacts")

    def run() -> tuple[list[str], float]:
        assert materialize(load_definitions(folder), "baseline").success
        metrics = Lineage(folder, store).find("dice_metrics", "baseline").path
        scored = pd.read_parquet(metrics / "patches.parquet")["patch_id"].unique()
        table = pd.read_csv(report_of(folder).path / "comparison.csv").set_index("key")
        return sorted(scored), table.loc["murphy", "dice_mean"]

    tested, murphy_on_test = run()
    (folder / "study.yaml").write_text(TINY_STUDY + "evaluation: {part: val}\n")
    validated, murphy_on_val = run()
    split = pd.read_parquet(Lineage(folder, store).find("scene_split", "_").path / "split.parquet")
    assert tested == sorted(split.loc[split["part"] == "test", "patch_id"])
    assert validated == sorted(split.loc[split["part"] == "val", "patch_id"])
    assert murphy_on_test != murphy_on_val
    assert len([*(folder / "artifacts" / "trained_unet").glob("*/manifest.json")]) == 1
