"""The comparison against figures worked out by hand."""

import math
from typing import Any

import pandas as pd
import pytest

from firefusion_assets.report.inputs import ConfigResult, DetectorResult
from firefusion_assets.report.statistics.answers import answers
from firefusion_assets.report.statistics.comparison import comparison
from firefusion_assets_tests.builders.reports import (
    NAN,
    config,
    detector,
    inputs,
    metrics,
    patches,
    runs,
    study,
)

TWO_BY_TWO = {"training": {"bands": ["B7"]}, "replicates": {"count": 2}}
REAL = [(0, 0, 0.50), (0, 1, 0.54), (1, 0, 0.60), (1, 1, NAN)]
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
        patches=patches(NATIVE),
        metrics=metrics(NATIVE).assign(precision=[0.1, 0.2, 0.3, 0.4], recall=[NAN, 0.4, NAN, 0.8]),
    )
    table = compared(study=study(**TWO_BY_TWO), configs=[config("baseline", "none", REAL), native])

    row = table.loc["native"]
    # Folds of a replicate are counted together; here each has as many pixels.
    assert row["dice_0"] == pytest.approx((0.66 + 0.52) / 2)
    assert row["dice_1"] == pytest.approx((0.58 + 0.70) / 2)
    assert row["dice_mean"] == pytest.approx(0.615)
    assert row["dice_std"] == pytest.approx(0.05 / math.sqrt(2))
    assert table.loc["baseline", "dice_1"] == pytest.approx(0.54), "a fold with nothing to find counts for nothing"
    # Against 0.55 and 0.54.
    assert row["difference"] == pytest.approx((0.04 + 0.10) / 2)
    assert row["low"] < row["difference"] < row["high"]
    assert (row["p"], row["verdict"]) == (0.5, "not decidable")
    assert row["precision"] == pytest.approx(0.25)
    assert row["recall"] == pytest.approx(0.6)
    assert (row["n_images"], row["seconds"]) == (7 / 4, 42.5), "of four trainings"
    assert table["difference"].isna()["baseline"] and table.loc["baseline", "verdict"] == ""


def test_a_detector_is_compared_with_every_replicate_and_claims_nothing() -> None:
    given = detector("murphy", [(0, None, 0.40), (1, None, 0.70)])
    configs = [config("baseline", "none", REAL)]
    row = compared(study=study(**TWO_BY_TWO), configs=configs, detectors=[given]).loc["murphy"]
    assert row["dice_mean"] == pytest.approx(0.55)
    assert row["difference"] == pytest.approx(0.55 - (0.55 + 0.54) / 2)
    assert pd.isna(row["dice_0"]) and pd.isna(row["p"]) and row["verdict"] == ""


def test_figures_by_size_count_the_pixels_of_patches_whose_fire_is_that_large() -> None:
    sizes = [1, 4, 5, 19, 20, 99, 100, 5000, 0]
    rows = pd.DataFrame(
        {
            "fold": 0, "replicate": 0, "patch_id": [f"p{size}" for size in sizes], "scene": "s", "group": "g",
            "tp": [1, 2, 5, 10, 20, 90, 100, 4000, 0], "fp": [0, 1, 0, 2, 0, 9, 0, 500, 7],
            "fn": [0, 2, 0, 9, 0, 9, 0, 1000, 0], "fire_pixels": sizes, "area_km2": 10.0,
        }
    )  # fmt: skip
    row = compared(configs=[config("baseline", "none", [(0, 0, 0.5)], patches=rows)]).loc["baseline"]
    assert row["dice_of_1_4_px"] == pytest.approx(6 / (6 + 1 + 2))
    assert row["dice_of_5_19_px"] == pytest.approx(30 / (30 + 2 + 9))
    assert row["dice_of_20_99_px"] == pytest.approx(220 / (220 + 9 + 9))
    assert row["dice_of_100_px"] == pytest.approx(8200 / (8200 + 500 + 1000))
    assert row["fire_free_km2"] == 10
    assert row["false_alarms_low"] < 700 < row["false_alarms_high"]


@pytest.mark.parametrize("status", ["missing", "invalid"])
def test_what_was_not_measured_is_missing_everywhere(status: str) -> None:
    table = compared(
        configs=[config("baseline", "none", runs(0.5)), config("new", "native", status=status)],
        detectors=[DetectorResult("schroeder", note="needs B1")],
    )
    for key in ("new", "schroeder"):
        assert table.loc[key].drop(["engine", "status", "verdict"]).isna().all()
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


def test_an_interval_from_one_group_is_missing_and_not_infinite() -> None:
    configs = [
        config(key, engine, runs(*dice), patches=patches(runs(*dice), groups=1))
        for key, engine, dice in (("baseline", "none", (0.5, 0.51)), ("pasted", "copy-paste", (0.6, 0.62)))
    ]
    row = compared(configs=configs, study=study(replicates={"count": 2})).loc["pasted"]
    assert row["difference"] == pytest.approx(0.105) and pd.isna(row["low"]) and pd.isna(row["high"])


def test_one_figure_has_no_spread() -> None:
    table = compared(configs=[config("baseline", "none", runs(0.5)), config("a", "native", runs(0.6))])
    assert table.loc[["baseline", "a"], "dice_std"].isna().all()


def with_batch_means(key: str, engine: str, dice: list[tuple[int, int, float]], means: list[float]) -> ConfigResult:
    return config(key, engine, metrics=metrics(dice).assign(dice_batch_mean=means), patches=patches(dice))


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
    assert answer.startswith("a changes Dice (batch mean) by +7.0 points") and "nothing is claimed" in answer
    assert table.loc["a", "verdict"] == "no claim"
