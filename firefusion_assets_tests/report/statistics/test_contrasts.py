"""What is claimed, of which pairs, and when nothing may be."""

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.report.statistics.contrasts import contrasts, named_contrasts, replicate_dice
from firefusion_assets_tests.builders.reports import BASELINE, NAN, PASTED, config, inputs, runs, study


def test_each_config_is_compared_with_the_baseline_and_generators_with_copies_first() -> None:
    configs = [
        config("baseline", "none", runs(0.5)),
        config("plain", "none", runs(0.5)),
        config("pasted", "copy-paste", runs(0.6)),
        config("native", "native", runs(0.6)),
        config("oracle", "physics", runs(0.9), expected="better"),
        config("wrong", "wrong-labels", runs(0.1), copies=True, expected="worse"),
    ]
    assert named_contrasts(inputs(configs=configs)) == [
        ("native", "pasted"), ("native", "baseline"), ("oracle", "baseline"), ("pasted", "baseline"),
        ("plain", "baseline"), ("wrong", "baseline"),
    ]  # fmt: skip
    own = study(report={"contrasts": [["native", "plain"]]})
    assert named_contrasts(inputs(configs=configs, study=own)) == [("native", "plain")]


@pytest.mark.parametrize(
    ("dice", "verdict"),
    [
        (PASTED, "better"),
        (tuple(2 * low - high for low, high in zip(BASELINE, PASTED, strict=True)), "worse"),
        ((0.6, 0.4) * 4, "no claim"),
        (PASTED[:5], "not decidable"),
    ],
)
def test_the_four_verdicts(dice: tuple[float, ...], verdict: str) -> None:
    configs = [config("baseline", "none", runs(*BASELINE)), config("a", "copy-paste", runs(*dice))]
    (contrast,) = contrasts(inputs(configs=configs))
    assert (contrast.verdict, contrast.needed, contrast.replicates) == (verdict, 6, len(dice))
    assert contrast.difference == pytest.approx(np.mean(dice) - np.mean(BASELINE[: len(dice)]))
    assert (contrast.groups, contrast.reliable) == (12, True) and contrast.effective_groups == pytest.approx(
        12, abs=0.1
    )


def test_an_interval_that_holds_0_claims_nothing_however_sure_the_replicates_are() -> None:
    """One large fire decides: elsewhere it could have been the other way round."""
    better = config("a", "copy-paste", runs(*PASTED))
    rows = better.patches.copy()
    is_large = rows["group"] == "g0-0"
    rows.loc[is_large, ["tp", "fp", "fn"]] *= 50
    rows.loc[~is_large, ["tp", "fp", "fn"]] = [300, 700, 700]
    base = config("baseline", "none", runs(*BASELINE))
    other = base.patches.copy()
    other.loc[is_large, ["tp", "fp", "fn"]] *= 50
    configs = [
        config("baseline", "none", metrics=base.metrics, patches=other),
        config("a", "copy-paste", metrics=better.metrics, patches=rows),
    ]
    (contrast,) = contrasts(inputs(configs=configs))
    assert contrast.p < 0.01 and contrast.interval.low < 0 < contrast.difference
    assert contrast.verdict == "no claim" and contrast.effective_groups < 1.5


def test_contrasts_that_are_not_measured_yet_share_the_level_all_the_same() -> None:
    configs = [
        config("baseline", "none", runs(*BASELINE)),
        config("a", "copy-paste", runs(*PASTED)),
        *(config(f"later-{n}", "copy-paste", status="missing") for n in range(5)),
    ]
    (contrast,) = contrasts(inputs(configs=configs))
    assert contrast.p == pytest.approx(6 * 2 / 256) and contrast.needed == 8


def test_a_stale_config_is_in_no_contrast() -> None:
    configs = [config("baseline", "none", runs(*BASELINE)), config("a", "copy-paste", runs(*PASTED), status="stale")]
    assert contrasts(inputs(configs=configs)) == []


def test_replicates_that_only_one_has_or_without_a_dice_are_left_out() -> None:
    configs = [
        config("baseline", "none", [(0, number, 0.5) for number in range(2, 9)]),
        config("a", "copy-paste", [(0, 0, 0.7), (0, 2, 0.6), (0, 3, NAN), (0, 4, 0.8)]),
    ]
    (contrast,) = contrasts(inputs(configs=configs))
    assert contrast.replicates == 2 and contrast.difference == pytest.approx(0.2)


def test_the_dice_of_a_replicate_counts_the_pixels_of_all_folds_together() -> None:
    rows = pd.DataFrame(
        {
            "fold": [0, 0, 1, 1], "replicate": [0, 1, 0, 1], "patch_id": ["a", "a", "b", "b"], "scene": "s",
            "group": ["g", "g", "h", "h"], "tp": [9, 8, 0, 1], "fp": [0, 1, 1, 1], "fn": [1, 2, 1, 0],
            "fire_pixels": [10, 10, 1, 1], "area_km2": 3.7,
        }
    )  # fmt: skip
    dice = replicate_dice(config("a", "native", patches=rows))
    assert dice.tolist() == pytest.approx([18 / 21, 18 / 22])
