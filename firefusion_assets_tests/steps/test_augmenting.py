"""Folds run inside a partition, each with its own fitted things; a leaky split says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.patchstore import Patches
from firefusion_assets.segmentation.training import TrainingJob
from firefusion_assets.steps import unets
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    TWO_REPLICATES,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow


def test_every_group_is_tested_once_and_each_fold_paints_on_its_own_train_part(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    study = write_study(tmp_path / "study", TWO_REPLICATES + "split: {folds: 3}\n")
    defs = load_definitions(study)
    for key in ("copy-paste", "native"):
        assert materialize(defs, key, to="dice_metrics").success
    lineage = lineage_of(study)
    base = lineage.find("landsat_patches", "_").path / "base.lmdb"
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    for key in ("copy-paste", "native"):
        overlay = lineage.find("augmented_lmdb", key).path / "overlay.lmdb"
        for fold in range(3):
            train = set(split.loc[(split["fold"] == fold) & (split["part"] == "train"), "patch_id"])
            painted = []
            for number in (0, 1):
                folder = lineage.find("synthetic_images", key).path / f"fold-{fold}" / f"replicate-{number}"
                rows = pd.read_parquet(folder / "provenance.parquet").set_index("synthetic_id")
                store = Patches(base, [overlay], fold, number)
                assert len(store.added_ids) == 6
                assert set(rows.loc[store.added_ids, "background"]) | set(rows.loc[store.added_ids, "mask"]) <= train
                painted += [store.read(patch_id).bands.tobytes() for patch_id in store.added_ids]
            assert len(set(painted)) == 12, "each replicate has paint of its own"
        scored = pd.read_parquet(lineage.find("dice_metrics", key).path / "patches.parquet")
        assert set(scored["replicate"]) == {0, 1}
        once = scored[scored["replicate"] == 1]
        assert sorted(once["patch_id"]) == sorted(split["patch_id"].unique())
    summary = pd.read_parquet(lineage.find("dice_metrics", "native").path / "summary.parquet")
    assert len(summary) == 3 * 2


def test_a_failure_in_a_later_fold_leaves_the_finished_folds_fitted(
    tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", TINY_STUDY + "split: {folds: 3}\n")
    defs = load_definitions(study)
    real_fit, fitted = CopyPasteGenerator.fit, []

    def fit(generator: Any, train: Any, work: Path, run: Any) -> Any:
        fitted.append(work.name)
        if fitted == ["fold-0", "fold-1"]:
            raise RuntimeError("power cut")
        return real_fit(generator, train, work, run)

    monkeypatch.setattr(CopyPasteGenerator, "fit", fit)
    assert not materialize(defs, "copy-paste", to="finetuned_model", raise_on_error=False).success
    assert materialize(defs, "copy-paste", to="finetuned_model").success
    assert fitted == ["fold-0", "fold-1", "fold-1", "fold-2"]


def test_training_killed_in_any_fold_and_replicate_ends_with_equal_metrics(
    tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, whole = (
        write_study(tmp_path / name / "study", TWO_REPLICATES + "split: {folds: 3}\n") for name in ("killed", "whole")
    )
    left = [f"fold {fold} replicate {number}" for fold in range(3) for number in (0, 1)]
    real_train = unets.train_unet

    def train(job: TrainingJob, work: Path, progress: Callable[[str], None]) -> None:
        def told(line: str) -> None:
            progress(line)
            if left and line.startswith(f"{left[0]}: step 4"):
                left.pop(0)
                raise InterruptedError("power cut")

        real_train(job, work, told)

    monkeypatch.setattr(unets, "train_unet", train)
    defs = load_definitions(killed)
    for power_cuts in range(6):
        assert not materialize(defs, "baseline", to="dice_metrics", raise_on_error=False).success
        assert len(left) == 5 - power_cuts
    assert materialize(defs, "baseline", to="dice_metrics").success
    assert materialize(load_definitions(whole), "baseline", to="dice_metrics").success
    one, other = (lineage_of(folder).find("dice_metrics", "baseline").path for folder in (killed, whole))
    for table in ("summary", "patches"):
        pd.testing.assert_frame_equal(*(pd.read_parquet(path / f"{table}.parquet") for path in (one, other)))


def test_a_split_by_patch_runs_and_is_called_leaky(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study", TINY_STUDY + "split: {by: patch}\n")
    assert materialize(load_definitions(study), "baseline").success
    report = lineage_of(study).store.pointed("augmentation_report", "_")
    assert report is not None
    assert "The split is leaky" in (report.path / "report.html").read_text().split("<table")[0]


def test_a_replicate_that_two_configs_share_by_their_offsets_is_the_same_in_both(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    """Everything that is drawn follows from the replicate: plan, paint and training. The others differ."""
    shifted = TINY_CONFIGS | {"shifted": "extends: native\nreplicate_offset: 1"}
    study = write_study(tmp_path / "study", TWO_REPLICATES, shifted)
    defs, lineage = load_definitions(study), lineage_of(study)
    weights, paint = {}, {}
    for key in ("native", "shifted"):
        assert materialize(defs, key, to="trained_unet").success
        for number in (0, 1):
            folder = Path("fold-0") / f"replicate-{number}"
            network = lineage.find("trained_unet", key).path / folder / "network.safetensors"
            weights[key, number] = network.read_bytes()
            store = Patches(
                lineage.find("landsat_patches", "_").path / "base.lmdb",
                [lineage.find("augmented_lmdb", key).path / "overlay.lmdb"],
                0,
                number,
            )
            paint[key, number] = [store.read(patch_id).bands.tobytes() for patch_id in store.added_ids]
    assert lineage.find("finetuned_model", "native") == lineage.find("finetuned_model", "shifted")
    for made in (weights, paint):
        assert made["native", 1] == made["shifted", 0]
        assert made["native", 0] != made["native", 1] != made["shifted", 1]


def test_a_refitted_generator_is_another_in_every_replicate(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study", TWO_REPLICATES.replace("count: 2", "count: 2, refit: true"))
    assert materialize(load_definitions(study), "native", to="finetuned_model").success
    models = lineage_of(study).find("finetuned_model", "native").path
    first, second = (
        (models / "fold-0" / f"replicate-{number}" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
        for number in (0, 1)
    )
    assert first != second


def test_limits_and_fingerprints_of_real_fires_stand_with_the_verdicts(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    config = """
generator: {engine: copy-paste}
sampling: {images: 12, batch_size: 8}
screening: {min_detected: auto, detectors: [murphy], rules: [{rule: seam, max_contrast: auto}]}
"""
    many = TINY_STUDY.replace("scenes: 6, patches_per_scene: 4", "scenes: 12, patches_per_scene: 8")
    study = write_study(tmp_path / "study", many, {"baseline": "generator: {engine: none}", "own": config})
    done = materialize(load_definitions(study), "own", to="screened_images")
    screened = lineage_of(study).find("screened_images", "own")
    assert (screened.facts["fingerprint_outside"], screened.facts["fingerprint_outside_low"]) == (0.5, 0.5)
    (check,) = (one for one in done.get_asset_check_evaluations() if one.check_name == "no_fingerprint")
    assert check.passed
    verdicts = pd.read_parquet(screened.path / "fold-0" / "replicate-0" / "verdicts.parquet")
    assert verdicts["detected_limit"].nunique() == verdicts["seam_limit"].nunique() == 1
    rejected = verdicts["seam_score"] > verdicts["seam_limit"]
    assert (verdicts["reason"].str.contains("a seam") == rejected).all()
    real = pd.read_parquet(screened.path / "real_scores.parquet")
    assert real["fingerprint_score"].notna().any()
    page = (screened.path / "gallery.html").read_text()
    assert "0.5 is chance" in page and "data-fingerprint_score" in page
