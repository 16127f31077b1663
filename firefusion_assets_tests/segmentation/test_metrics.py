"""Figures of merit against slow plain counting, and what is missing where it isn't defined."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.segmentation import metrics
from firefusion_assets.segmentation.metrics import Counts, score, summarise

counts_of_a_patch = st.builds(Counts, *[st.sampled_from([0, 0, 1, 3, 40]) for _ in range(4)])


def approx(value: Fraction | None) -> object:
    return None if value is None else pytest.approx(float(value), rel=1e-12)


def ratio(numerator: int, denominator: int) -> Fraction | None:
    return Fraction(numerator, denominator) if denominator else None


def mean(values: list[Fraction | None]) -> Fraction | None:
    defined = [value for value in values if value is not None]
    assert len(defined) == len(values)
    return sum(defined, Fraction(0)) / len(defined) if defined else None


def set_dice(patches: list[Counts]) -> Fraction | None:
    """Dice as twice the intersection over the sum of the sizes of truth and prediction."""
    truth = sum(c.tp + c.fn for c in patches)
    predicted = sum(c.tp + c.fp for c in patches)
    return ratio(2 * sum(c.tp for c in patches), truth + predicted)


def rows(counts: list[Counts], scenes: list[str], area_km2: float = 2.0) -> pd.DataFrame:
    frame = pd.DataFrame(counts, columns=["tp", "fp", "fn", "tn"])
    frame["patch_id"] = [f"p{i:03d}" for i in range(len(counts))]
    frame["scene"] = scenes
    frame["group"] = scenes
    frame["fire_pixels"] = frame["tp"] + frame["fn"]
    frame["area_km2"] = area_km2
    return frame


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_score_counts_each_pixel_once(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, label, ignore = rng.random((3, height, width)) < rng.random((3, 1, 1))
    expected = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    for y in range(height):
        for x in range(width):
            if not ignore[y, x]:
                name = ("t" if predicted[y, x] == label[y, x] else "f") + ("p" if predicted[y, x] else "n")
                expected[name] += 1
    assert score(predicted, label, ignore)._asdict() == expected


@given(st.lists(st.tuples(counts_of_a_patch, st.sampled_from("abc")), max_size=30))
def test_summary_against_plain_definitions(patches: list[tuple[Counts, str]]) -> None:
    counts, scenes = [c for c, _ in patches], [s for _, s in patches]
    summary = summarise(rows(counts, scenes))
    tp, fp, fn, tn = (sum(getattr(c, name) for c in counts) for name in ("tp", "fp", "fn", "tn"))
    fire = [c for c in counts if c.tp + c.fn > 0]
    free = [c for c in counts if c.tp + c.fn == 0]
    by_scene = [[c for c, s in patches if s == scene] for scene in "abc"]
    batches = [counts[i : i + 8] for i in range(0, len(counts), 8)]
    assert summary == {
        "dice_micro": approx(set_dice(counts)),
        "iou": approx(ratio(tp, tp + fp + fn)),
        "precision": approx(ratio(tp, tp + fp)),
        "recall": approx(ratio(tp, tp + fn)),
        "pixel_accuracy": approx(ratio(tp + tn, tp + fp + fn + tn)),
        "false_alarms_per_1000_km2": approx(ratio(1000 * sum(c.fp for c in free), 2 * len(free))),
        "dice_batch_mean": approx(mean([set_dice(b) for b in batches if any(c.tp + c.fn for c in b)])),
        "dice_scene_mean": approx(mean([set_dice(s) for s in by_scene if any(c.tp + c.fn for c in s)])),
        "dice_patch_mean": approx(mean([set_dice([c]) for c in fire])),
        "n_patches": len(counts),
        "n_fire_patches": len(fire),
    }


def test_dice_follows_from_iou() -> None:
    counts = Counts(30, 10, 20, 1000)
    dice, iou = metrics.dice(counts), metrics.iou(counts)
    assert dice is not None and iou is not None
    assert dice == pytest.approx(2 * iou / (1 + iou)) == pytest.approx(2 / 3)


def test_a_zero_denominator_is_missing() -> None:
    nothing = Counts(0, 0, 0, 50)
    assert [f(nothing) for f in (metrics.dice, metrics.iou, metrics.precision, metrics.recall)] == [None] * 4
    assert metrics.pixel_accuracy(nothing) == 1.0
    assert metrics.pixel_accuracy(Counts(0, 0, 0, 0)) is None
    assert metrics.false_alarms_per_1000_km2(0, 0.0) is None
    assert metrics.dice_batch_mean([nothing] * 20) is None
    assert metrics.dice(Counts(0, 5, 0, 0)) == 0.0


def test_false_alarms_count_fire_free_patches_of_known_area_only() -> None:
    frame = rows([Counts(5, 100, 0, 9), Counts(0, 3, 0, 9), Counts(0, 50, 0, 9)], ["a", "a", "b"], area_km2=60.0)
    frame.loc[2, "area_km2"] = np.nan
    assert summarise(frame)["false_alarms_per_1000_km2"] == pytest.approx(50.0)


def test_wrong_inputs_are_named() -> None:
    mask = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match=r"^predicted: float64 \(4, 4\), expected bool \(H, W\)"):
        score(np.zeros((4, 4)), mask, mask)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^ignore: bool \(4, 5\), expected bool .* label's \(4, 4\)"):
        score(mask, mask, np.zeros((4, 5), bool))
    with pytest.raises(ValueError, match=r"^predicted: bool \(1, 4, 4\)"):
        score(mask[None], mask[None], mask[None])
    with pytest.raises(ValueError, match="must not be negative"):
        metrics.dice(Counts(1, -1, 0, 0))
    with pytest.raises(ValueError, match="must not be negative: got -1"):
        metrics.false_alarms_per_1000_km2(-1, 2.0)
    frame = rows([Counts(1, 1, 1, 1)] * 2, ["a", "a"])
    with pytest.raises(ValueError, match="lack the columns scene, area_km2"):
        summarise(frame.drop(columns=["scene", "area_km2"]))
    with pytest.raises(ValueError, match="'p000' appears twice"):
        summarise(pd.concat([frame, frame]))
