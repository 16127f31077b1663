"""Warnings exactly where they are due."""

from typing import Any

import pandas as pd
import pytest

from firefusion_assets.report.inputs import ConfigResult, ReportInputs
from firefusion_assets.report.statistics.warnings import warnings
from firefusion_assets_tests.builders.reports import BASELINE, config, inputs, patches, runs, split, study


def test_a_sound_comparison_has_no_warnings() -> None:
    assert warnings(inputs()) == []


def test_what_makes_a_replication_is_said_first() -> None:
    replica = study(evaluation={"part": "val"}, report={"headline": "dice_batch_mean"})
    first, second = warnings(inputs(study=replica, split=split(evaluated="val")))
    assert "not a valid estimate" in first and "the checkpoint was chosen on the same patches" in first
    assert "false alarms in other batches cost nothing" in second


def test_the_part_that_is_evaluated_is_the_one_that_can_be_small() -> None:
    replica = study(evaluation={"part": "val"})
    _, small = warnings(inputs(study=replica, split=split(fire_patches=9, evaluated="val")))
    assert small == "The validation part has 27 patches with fire (300 px): a few of them decide the Dice."
    only_two_parts = split(evaluated="val").query("part != 'test'")
    assert len(warnings(inputs(study=replica, split=only_two_parts))) == 1
    by_patch = study(evaluation={"part": "val"}, split={"by": "patch", "folds": 3})
    assert "in the train and the validation part" in warnings(inputs(study=by_patch, split=only_two_parts))[1]


SIMULATED = {
    "dataset": {"source": "simulated", "bands": ["B7"]},
    "training": {"bands": ["B7"]},
    "replicates": {"count": 2},
}


def few_groups() -> list[ConfigResult]:
    dice = runs(*BASELINE)
    return [
        config(key, engine, dice, patches=patches(dice, groups=9))
        for key, engine in (("baseline", "none"), ("pasted", "copy-paste"))
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (inputs(study=study(**SIMULATED)), "simulated scenes"),
        (inputs(study=study(split={"by": "patch", "folds": 3})), "by patch"),
        (inputs(study=study(training={"bands": ["B7"]}, replicates={"count": 1})), "one replicate"),
        (inputs(study=study(split={"folds": 1})), "one fold"),
        (inputs(configs=few_groups()), "Fires burn in 9 groups of the test part"),
        (inputs(split=split(scenes=3)), "9 scenes, 6 of them with fire"),
        (inputs(split=split(fire_scenes=2, folds=1, scenes=12, fire_patches=40)), "2 of them with fire"),
        (inputs(split=split(scenes=3).drop(columns="n_fire_scenes")), "9 scenes:"),
        (inputs(split=split(fire_patches=9)), "27 patches with fire"),
        (inputs(data={"skipped_files": ["a.tif: truncated"]}), "1 file could not be used"),
        (inputs(configs=[config("pasted", "copy-paste", runs(0.6))]), "no config 'baseline'"),
    ],
)
def test_a_weak_study_is_warned_of(given: ReportInputs, words: str) -> None:
    (warning,) = warnings(given)
    assert words in warning


LEFT_OUT = [
    config("a", "native", runs(0.9), status="stale", note="Run: make a"),
    config("a", "native", status="missing", note="Never run."),
    config("a", "none", status="invalid", note="Typo."),
]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        *((left_out, f"a is {left_out.status} and does not count. {left_out.note}") for left_out in LEFT_OUT),
        (config("a", "none", runs(0.7, 0.7), facts={"n_images": 3, "wanted": 64}), "adds 3 of the 64 images"),
    ],
)
def test_a_weak_config_is_warned_of(extra: Any, words: str) -> None:
    given = inputs()
    (warning,) = warnings(inputs(configs=[*given.configs, extra]))
    assert words in warning


def test_diffusion_without_the_copy_paste_control_is_warned_of() -> None:
    configs = [config("baseline", "none", runs(0.5, 0.5)), config("native", "native", runs(0.6, 0.6))]
    (warning,) = warnings(inputs(configs=configs))
    assert "No config that adds copies of real fires is current" in warning


def test_figures_at_the_limits_are_enough() -> None:
    assert warnings(inputs(split=split(scenes=10, fire_scenes=3, fire_patches=30, folds=1))) == []


def test_a_study_that_was_never_run_can_be_reported() -> None:
    given = inputs(split=pd.DataFrame(), configs=[config("baseline", "none", status="missing")], detectors=[])
    assert [warning.split()[0] for warning in warnings(given)] == ["baseline"]
