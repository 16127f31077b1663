"""The comparison against figures worked out by hand, and warnings exactly where they are due."""

import math
from typing import Any

import pandas as pd
import pytest

from firefusion_assets.report.inputs import ConfigResult, DetectorResult, ReportInputs
from firefusion_assets.report.statistics import answers, comparison, warnings
from firefusion_assets_tests.builders.reports import NAN, config, inputs, metrics, runs, split, study

TWO_BY_TWO = {"training": {"bands": ["B7"]}, "replicates": {"count": 2}}
BASELINE = [(0, 0, 0.50), (0, 1, 0.54), (1, 0, 0.60), (1, 1, NAN)]
NATIVE = [(1, 0, 0.66), (0, 0, 0.52), (0, 1, 0.58), (1, 1, 0.70)]


def compared(**changes: Any) -> pd.DataFrame:
    return comparison(inputs(**changes)).set_index("key")


def test_the_baseline_comes_first_then_keys_then_detectors() -> None:
    table = comparison(inputs(configs=[config("z", "native"), config("baseline", "none"), config("a", "copy-paste")]))
    assert table["key"].tolist() == ["baseline", "a", "z", "murphy"]
    assert table["engine"].tolist() == ["none", "copy-paste", "native", "detector"]


def test_figures_are_those_worked_out_by_hand() -> None:
    native = config(
        "native",
        "native",
        facts={"n_images": 7},
        cost={"finetuned_model": 30.0, "trained_unet": 12.5},
        metrics=metrics(NATIVE).assign(precision=[0.1, 0.2, 0.3, 0.4], recall=[NAN, 0.4, NAN, 0.8]),
    )
    table = compared(study=study(**TWO_BY_TWO), configs=[config("baseline", "none", BASELINE), native])

    row = table.loc["native"]
    assert row["dice_0"] == pytest.approx((0.66 + 0.52) / 2)
    assert row["dice_1"] == pytest.approx((0.58 + 0.70) / 2)
    assert row["dice_mean"] == pytest.approx(0.615)
    # Squared distances to 0.615: 0.002025, 0.009025, 0.001225, 0.007225; their sum over 3.
    assert row["dice_std"] == pytest.approx(math.sqrt(0.0195 / 3))
    # Pairs that both have: +0.02, +0.04, +0.06.
    assert row["difference"] == pytest.approx(0.04)
    assert row["difference_std"] == pytest.approx(0.02)
    assert row["precision"] == pytest.approx(0.25)
    assert row["recall"] == pytest.approx(0.6)
    assert (row["n_images"], row["seconds"]) == (7, 42.5)
    assert table.loc["baseline", "dice_1"] == pytest.approx(0.54), "a missing figure isn't 0"
    assert table["difference"].isna()["baseline"]


def test_a_detector_is_paired_with_every_replicate_of_the_fold() -> None:
    detector = DetectorResult("murphy", metrics([(0, None, 0.40), (1, None, 0.70)]))
    row = compared(study=study(**TWO_BY_TWO), configs=[config("baseline", "none", BASELINE)], detectors=[detector]).loc[
        "murphy"
    ]
    # -0.10 and -0.14 in fold 0, +0.10 in fold 1.
    assert row["difference"] == pytest.approx(-0.14 / 3)
    assert row["dice_mean"] == pytest.approx(0.55)
    assert pd.isna(row["dice_0"])


@pytest.mark.parametrize("status", ["missing", "invalid"])
def test_what_was_not_measured_is_missing_everywhere(status: str) -> None:
    table = compared(
        configs=[config("baseline", "none", runs(0.5)), config("new", "native", status=status)],
        detectors=[DetectorResult("schroeder", note="needs B1")],
    )
    for key in ("new", "schroeder"):
        assert table.loc[key].drop(["engine", "status"]).isna().all()
    assert table.loc["schroeder", "status"] == "missing"


def test_a_stale_config_shows_its_figures_but_no_difference() -> None:
    stale = config("old", "native", runs(0.9, 0.9), status="stale")
    row = compared(configs=[config("baseline", "none", runs(0.5, 0.5)), stale]).loc["old"]
    assert row["dice_mean"] == pytest.approx(0.9)
    assert pd.isna(row["difference"])


def test_nothing_is_compared_with_a_stale_baseline() -> None:
    given = inputs(configs=[config("baseline", "none", runs(0.5), status="stale"), config("a", "native", runs(0.6))])
    assert comparison(given)["difference"].isna().all()
    assert answers(given) == ["There is no answer yet: 'baseline', the baseline, has no current result."]


def test_one_figure_has_no_spread() -> None:
    table = compared(configs=[config("baseline", "none", runs(0.5)), config("a", "native", runs(0.6))])
    assert table.loc[["baseline", "a"], "dice_std"].isna().all()
    assert table["difference_std"].isna()["a"]


def test_answers_say_the_change_against_the_baseline_and_against_pasting() -> None:
    given = inputs(
        configs=[
            config("baseline", "none", runs(0.50, 0.52)),
            config("native", "native", runs(0.53, 0.57)),
            config("pasted", "copy-paste", runs(0.54, 0.56)),
        ]
    )
    repeats = "over 1 replicate and 2 folds; it is higher in"
    assert answers(given) == [
        f"native changes Dice by +4.0 points (spread 1.4) against baseline {repeats} 2 of 2 pairs.",
        f"native changes Dice by +0.0 points (spread 1.4) against pasted {repeats} 1 of 2 pairs. "
        "That is less than its spread: it may be chance.",
        f"pasted changes Dice by +4.0 points (spread 0.0) against baseline {repeats} 2 of 2 pairs.",
    ]


def test_answers_say_where_no_pair_has_a_dice() -> None:
    given = inputs(configs=[config("baseline", "none", runs(NAN)), config("a", "copy-paste", runs(0.6))])
    assert answers(given) == ["a can't be compared with baseline: no fold and replicate has a Dice for both."]


def test_a_sound_comparison_has_no_warnings() -> None:
    assert warnings(inputs()) == []


def with_batch_means(key: str, engine: str, dice: list[tuple[int, int, float]], means: list[float]) -> ConfigResult:
    return config(key, engine, metrics=metrics(dice).assign(dice_batch_mean=means))


def test_the_batch_mean_is_compared_where_the_study_says_so() -> None:
    """By dice_micro `a` is worse than the baseline; by the headline it is better."""
    two = [(0, 0), (0, 1)]
    given = inputs(
        study=study(training={"bands": ["B7"]}, replicates={"count": 2}, report={"headline": "dice_batch_mean"}),
        configs=[
            with_batch_means("baseline", "none", [(*run, 0.9) for run in two], [0.50, 0.60]),
            with_batch_means("a", "copy-paste", [(*run, 0.2) for run in two], [0.54, 0.70]),
        ],
        detectors=[DetectorResult("murphy", metrics([(0, None, 0.4)], dice_batch_mean=0.65))],
    )
    table = comparison(given).set_index("key")
    assert table.loc["a", ["dice_0", "dice_1", "dice_mean"]].tolist() == pytest.approx([0.54, 0.70, 0.62])
    assert table.loc["a", "difference"] == pytest.approx(0.07)
    assert table.loc["a", "dice_std"] == pytest.approx(0.16 / math.sqrt(2))
    assert table.loc["murphy", "difference"] == pytest.approx((0.15 + 0.05) / 2)
    assert table["dice_micro"].tolist() == pytest.approx([0.9, 0.2, 0.4]), "the other Dice keeps a column of its own"
    assert "dice_batch_mean" not in table
    (answer,) = answers(given)
    assert answer.startswith("a changes Dice (batch mean) by +7.0 points")


def test_what_makes_a_replication_is_said_first() -> None:
    replica = study(evaluation={"part": "val"}, report={"headline": "dice_batch_mean"})
    first, second = warnings(inputs(study=replica, split=split(evaluated="val")))
    assert "not a valid estimate" in first and "the checkpoint was chosen on the same patches" in first
    assert "false alarms in other batches cost nothing" in second


def test_the_part_that_is_evaluated_is_the_one_that_can_be_small() -> None:
    replica = study(evaluation={"part": "val"})
    _, small = warnings(inputs(study=replica, split=split(fire_patches=9, evaluated="val")))
    assert small == "The validation part has 27 patches with fire: a few of them decide the Dice."
    only_two_parts = split(evaluated="val").query("part != 'test'")
    assert len(warnings(inputs(study=replica, split=only_two_parts))) == 1
    by_patch = study(evaluation={"part": "val"}, split={"by": "patch", "folds": 3})
    assert "in the train and the validation part" in warnings(inputs(study=by_patch, split=only_two_parts))[1]


SIMULATED = {
    "dataset": {"source": "simulated", "bands": ["B7"]},
    "training": {"bands": ["B7"]},
    "replicates": {"count": 2},
}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (inputs(study=study(**SIMULATED)), "simulated scenes"),
        (inputs(study=study(split={"by": "patch", "folds": 3})), "by patch"),
        (inputs(study=study(training={"bands": ["B7"]}, replicates={"count": 1})), "trained once only"),
        (inputs(study=study(split={"folds": 1})), "one fold"),
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
        (config("a", "native", runs(0.4, 0.7, 0.5)), "(+3.0 points) is smaller than its spread"),
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
