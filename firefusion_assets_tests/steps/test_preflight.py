"""What the data or the installation can't do is told before the first expensive step of a config."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from firefusion_assets.steps.patches import build_patches
from firefusion_assets.steps.preflight import check_before_work, require_sun
from firefusion_assets.study import StudyError
from firefusion_assets_tests.builders.studies import TINY_CONFIGS, TINY_STUDY, lineage_of, write_study


@pytest.fixture
def unplaced(tmp_path: Path) -> Path:
    """A study of patches without georeference, and so without a known sun elevation."""
    configs = TINY_CONFIGS | {"unscreened": "extends: native\nscreening: {detectors: []}"}
    folder = write_study(tmp_path / "study", configs=configs)
    lineage = lineage_of(folder)

    def make(work: Path) -> dict[str, list[str]]:
        pd.DataFrame({"patch_id": ["a", "b"], "sun_elevation": [50.0, np.nan]}).to_parquet(work / "patches.parquet")
        return {"raw_input": []}

    artifact = lineage.store.build("landsat_patches", lineage.raw_fingerprint([]), make)
    lineage.store.point("landsat_patches", "_", artifact)
    return folder


def test_a_detector_needs_the_sun(unplaced: Path) -> None:
    with pytest.raises(StudyError, match="study.yaml: dataset.sun_elevation: missing.*murphy of 'native' need it"):
        check_before_work(lineage_of(unplaced), "native", True, print)
    check_before_work(lineage_of(unplaced), "unscreened", True, print)
    require_sun(lineage_of(unplaced), "unscreened")


def test_masks_of_a_detector_need_the_sun(unplaced: Path) -> None:
    config = unplaced / "augmentations" / "unscreened.yaml"
    config.write_text(config.read_text() + "\nmasks: {source: schroeder}")
    require_sun(lineage_of(unplaced), "unscreened")  # works without
    config.write_text(config.read_text().replace("schroeder", "voting"))
    with pytest.raises(StudyError, match="voting of 'unscreened' need it.*masks.source: label"):
        require_sun(lineage_of(unplaced), "unscreened")


def test_an_encoder_that_does_not_exist_and_an_unknown_sun_are_told_together(unplaced: Path) -> None:
    (unplaced / "study.yaml").write_text(TINY_STUDY.replace("filters: 2", "architecture: smp-unet, encoder: resnet17"))
    with pytest.raises(StudyError) as error:
        check_before_work(lineage_of(unplaced), "native", True, print)
    assert len(error.value.problems) == 2
    assert "training.architecture, training.encoder: " in error.value.problems[1]
    assert "resnet17" in error.value.problems[1] and "resnet18" in error.value.problems[1]


@pytest.mark.parametrize("weights", ["none", "imagnet"])
def test_weights_that_an_encoder_lacks_stop_before_any_patch_is_read(tmp_path: Path, weights: str) -> None:
    unet = f"architecture: smp-unet, encoder_weights: {weights}"
    study = write_study(tmp_path / "study", TINY_STUDY.replace("filters: 2", unet))
    with pytest.raises(
        StudyError, match=f"study.yaml: training.encoder_weights: '{weights}' is unknown; resnet18 has imag"
    ):
        build_patches(lineage_of(study), print)
    assert not (study / "artifacts").exists()


def test_weights_that_the_hub_does_not_give_stop_before_any_patch_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(repository: str, name: str, revision: str) -> str:
        asked.append((repository, name))
        raise LocalEntryNotFoundError("the hub can't be reached.")

    asked: list[tuple[str, str]] = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", silent)
    monkeypatch.setattr("firefusion_assets.core.hub._ANSWERS", {})
    unet = "architecture: smp-unet, encoder_weights: imagenet"
    study = write_study(tmp_path / "study", TINY_STUDY.replace("filters: 2", unet))
    said: list[str] = []
    with pytest.raises(StudyError, match=r"encoder_weights: 'smp-hub/resnet18.imagenet' .* can't be had from the hub"):
        build_patches(lineage_of(study), said.append)
    assert asked == [("smp-hub/resnet18.imagenet", "config.json")] and not (study / "artifacts").exists()
    assert said[0].startswith("asking https://huggingface.co for 'smp-hub/resnet18.imagenet'")


def test_a_missing_package_of_an_architecture_is_told_with_the_command(
    unplaced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unplaced / "study.yaml").write_text(TINY_STUDY.replace("filters: 2", "architecture: smp-unet"))
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(StudyError) as error:
        check_before_work(lineage_of(unplaced), "unscreened", True, print)
    assert error.value.problems == [
        f"{unplaced / 'study.yaml'}: training.architecture: smp-unet needs segmentation_models_pytorch, which this "
        "installation lacks; pip install 'firefusion-assets[smp]', or set unet"
    ]
