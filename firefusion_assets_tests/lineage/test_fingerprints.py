"""What a change of study or config makes anew, and what stays."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.steps.status import report_fingerprint
from firefusion_assets_tests.builders.studies import lineage_of, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study whose base store has been made."""
    folder = write_study(tmp_path / "tiny")
    lineage, raw_input = lineage_of(folder), {"files": []}
    made = lineage.store.build(
        "landsat_patches", lineage.raw_fingerprint(raw_input), lambda work: {"raw_input": raw_input}
    )
    lineage.store.point("landsat_patches", UNPARTITIONED, made)
    return folder


@pytest.mark.parametrize(
    ("section", "change", "rebuilt"),
    [
        (
            "screening",
            {"label": "mask"},
            {"screened_images", "augmented_lmdb", "trained_unet", "dice_metrics"},
        ),
        ("sampling", {"steps": 9}, {"synthetic_images"}),
        ("masks", {"dilation": 2}, {"inpainting_masks"}),
        ("generator", {"steps": 9}, {"finetuned_model"}),
        ("description", "other words", {"augmentation_config"}),
    ],
)
def test_a_change_of_a_config_reaches_what_depends_on_it_only(
    study: Path, section: str, change: Any, rebuilt: set[str]
) -> None:
    file = study / "augmentations" / "native.yaml"
    text = file.read_text()
    assets = [asset for asset in ASSETS if asset != "augmentation_report"]
    before = {asset: lineage_of(study).fingerprint(asset, "native") for asset in assets}
    values = yaml.safe_load(text)
    values[section] = {**values.get(section, {}), **change} if isinstance(change, dict) else change
    file.write_text(yaml.safe_dump(values))
    after = {asset: lineage_of(study).fingerprint(asset, "native") for asset in assets}
    file.write_text(text)
    changed = {asset for asset in assets if before[asset] != after[asset]}
    downstream = set(rebuilt)
    if section not in ("description",):
        downstream |= {"augmentation_config"}
        for asset in assets:
            if downstream & (set(ASSETS[asset].upstream) - {"augmentation_config"}):
                downstream.add(asset)
    # Where painting stops depends on the screening, so its object does; the painted chunks don't.
    if section == "screening":
        downstream |= {"synthetic_images"}
    assert changed == downstream


def test_a_limit_of_backgrounds_reaches_what_is_painted_and_nothing_else(study: Path) -> None:
    file = study / "study.yaml"
    text = file.read_text()
    assets = [asset for asset in ASSETS if asset != "augmentation_report"]
    before = {key: {a: lineage_of(study).fingerprint(a, key) for a in assets} for key in ("baseline", "native")}
    file.write_text(text + "\nbackgrounds: {min_clear: 0.7}\n")
    after = {key: {a: lineage_of(study).fingerprint(a, key) for a in assets} for key in before}
    file.write_text(text)
    assert before["baseline"] == after["baseline"]
    same = {asset for asset in assets if before["native"][asset] == after["native"][asset]}
    assert same == {"landsat_patches", "scene_split", "augmentation_config", "finetuned_model"}


def test_what_pictures_show_reaches_no_object(study: Path) -> None:
    file, assets = study / "study.yaml", [asset for asset in ASSETS if asset != "augmentation_report"]
    before = {asset: lineage_of(study).fingerprint(asset, "native") for asset in assets}
    values = yaml.safe_load(file.read_text())
    values["dataset"]["composite"] = ["B6"]
    file.write_text(yaml.safe_dump(values))
    assert lineage_of(study).study.composite == ("B6",)
    assert {asset: lineage_of(study).fingerprint(asset, "native") for asset in assets} == before


def test_what_steps_ask_executors_for_reaches_no_object(study: Path) -> None:
    assets = [asset for asset in ASSETS if asset != "augmentation_report"]
    lineage, file = lineage_of(study), study / "study.yaml"
    lineage.store.point("scene_split", UNPARTITIONED, lineage.build("scene_split", "", lambda work: {}, print))
    before = [lineage.fingerprint(asset, "native") for asset in assets], report_fingerprint(lineage)
    asked = "resources: {trained_unet: {cores: 64, memory_gb: 512, gpus: 8}, dice_metrics: {gpus: 0}}"
    file.write_text(f"{file.read_text()}\n{asked}\n")
    changed = lineage_of(study)
    assert changed.study.resources.trained_unet.gpus == 8 and changed.study.resources.dice_metrics.cores == 4
    assert ([changed.fingerprint(asset, "native") for asset in assets], report_fingerprint(changed)) == before
