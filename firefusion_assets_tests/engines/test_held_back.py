"""Engines `more-real` and `weak` add what scarcity holds back: with its labels, or with a detector's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.landsat.detectors import detect
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.patchstore import Patches
from firefusion_assets.study import StudyError, load_augmentation, load_study
from firefusion_assets_tests.builders.studies import (
    TINY_STUDY,
    TWO_REPLICATES,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

SCARCE = TWO_REPLICATES + "split: {train_fire_patches: 2}\n"
CONFIGS = {
    "baseline": "generator: {engine: none}",
    "more-real": "generator: {engine: more-real, patches: 2}",
    "weak": "generator: {engine: weak, patches: 2, labels: murphy}",
}


def train_part(lineage: Lineage) -> set[str]:
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    return set(split.loc[split["part"] == "train", "patch_id"])


@pytest.mark.slow
def test_held_back_patches_are_learned_from_and_no_others(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study", SCARCE, CONFIGS)
    defs = load_definitions(study)
    for key in ("baseline", "more-real"):
        assert materialize(defs, key, to="dice_metrics").success
    assert materialize(defs, "weak").success
    lineage = lineage_of(study)
    # The study that keeps two more shows which they are.
    richer = write_study(tmp_path / "richer", SCARCE.replace("patches: 2}", "patches: 4}"), CONFIGS)
    assert materialize(load_definitions(richer), "baseline", to="scene_split").success
    next_ones = train_part(lineage_of(richer)) - train_part(lineage)
    base = lineage.find("landsat_patches", "_").path
    sun = pd.read_parquet(base / "patches.parquet").set_index("patch_id")["sun_elevation"]
    for key in ("more-real", "weak"):
        overlay = lineage.find("augmented_lmdb", key).path / "overlay.lmdb"
        for replicate in (0, 1):
            store = Patches(base / "base.lmdb", [overlay], 0, replicate)
            assert {patch_id.removeprefix("held-back/") for patch_id in store.added_ids} == next_ones
            for patch_id in store.added_ids:
                added, real = store.read(patch_id), store.read(patch_id.removeprefix("held-back/"))
                np.testing.assert_array_equal(added.bands, real.bands)
                label = real.label
                if key == "weak":
                    bands = dict(zip(store.meta.bands, real.bands, strict=True))
                    label = detect(["murphy"], bands, sun[patch_id.removeprefix("held-back/")])["murphy"]
                np.testing.assert_array_equal(added.label, label & ~real.ignore)
    report = pd.read_csv(lineage.store.pointed("augmentation_report", "_").path / "comparison.csv")  # type: ignore[union-attr]
    assert report.set_index("key").loc[["baseline", "more-real", "weak"], "n_images"].tolist() == [0, 2, 2]


def test_more_than_is_held_back_can_not_be_added(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study", SCARCE, {"more": "generator: {engine: more-real, patches: 99}"})
    with pytest.raises(Exception, match=r"patches: 99, but a fold holds back \d+ burning patches; lower it"):
        materialize(load_definitions(study), "more")


@pytest.mark.parametrize(
    ("study", "config", "problem"),
    [
        (TINY_STUDY, "{engine: more-real, patches: 2}", "it holds none back; set split.train_fire_patches"),
        (
            SCARCE.replace("dataset: {", "dataset: {bands: [B2, B6, B7], "),
            "{engine: weak, patches: 2}",
            "generator.labels: voting needs B1, B3, B4, B5; add them to dataset.bands",
        ),
    ],
)
def test_a_study_that_has_nothing_to_add_is_told(tmp_path: Path, study: str, config: str, problem: str) -> None:
    folder = write_study(tmp_path / "study", study, {"key": f"generator: {config}"})
    with pytest.raises(StudyError) as told:
        load_augmentation(folder, "key", load_study(folder))
    assert problem in str(told.value)
