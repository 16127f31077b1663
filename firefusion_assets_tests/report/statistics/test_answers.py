"""The answer in words: whether the assay works, and what may be said of each contrast."""

import pytest

from firefusion_assets.report.statistics.answers import answers
from firefusion_assets_tests.builders.reports import BASELINE, NAN, PASTED, config, inputs, runs, study

BETTER, WORSE = PASTED, tuple(2 * low - high for low, high in zip(BASELINE, PASTED, strict=True))


def test_each_verdict_is_a_sentence_with_its_figures() -> None:
    configs = [config("baseline", "none", runs(*BASELINE)), config("pasted", "copy-paste", runs(*BETTER))]
    assert answers(inputs(configs=configs)) == [
        "pasted is better than baseline (+10.4 points, 95 % interval +9.7 to +11.1, adjusted p 0.008).",
        "This rests on 8 replicates and 12 groups with fire, which decide as much as 12.0 groups would that burn "
        "equally.",
    ]
    configs = [config("baseline", "none", runs(*BASELINE)), config("pasted", "copy-paste", runs(*(0.4, 0.6) * 4))]
    assert answers(inputs(configs=configs))[0].startswith("pasted against baseline: no claim (")
    configs = [config("baseline", "none", runs(0.5, 0.5)), config("pasted", "copy-paste", runs(0.6, 0.6))]
    assert answers(inputs(configs=configs))[0].startswith(
        "pasted against baseline: not decidable with 2 replicates; 1 contrast needs 6 (+10.0 points"
    )


@pytest.mark.parametrize(
    ("oracle", "wrong", "first"),
    [
        (BETTER, WORSE, "The assay works: oracle is better and wrong is worse than baseline, as they must be."),
        (
            BASELINE,
            WORSE,
            "THE ASSAY DOES NOT WORK: oracle must be better than baseline, and the verdict is 'no claim'. "
            "No other verdict can be trusted.",
        ),
        (BETTER, BETTER, "THE ASSAY DOES NOT WORK: wrong must be worse than baseline, and the verdict is 'better'."),
        (BETTER[:3], WORSE[:3], "Whether the assay works can't be decided"),
    ],
)
def test_the_controls_come_first(oracle: tuple[float, ...], wrong: tuple[float, ...], first: str) -> None:
    configs = [
        config("baseline", "none", runs(*BASELINE)),
        config("oracle", "physics", runs(*oracle), expected="better"),
        config("wrong", "wrong-labels", runs(*wrong), expected="worse"),
    ]
    assert answers(inputs(configs=configs))[0].startswith(first)


def test_where_there_is_nothing_to_compare_that_is_said() -> None:
    alone = inputs(configs=[config("baseline", "none", runs(0.5))])
    assert answers(alone) == ["There is no answer yet: no config but the baseline has a current result."]
    stale = inputs(configs=[config("baseline", "none", runs(0.5), status="stale"), config("a", "native", runs(0.6))])
    assert answers(stale) == ["There is no answer yet: 'baseline', the baseline, has no current result."]
    for headline in ("dice_micro", "dice_batch_mean"):
        elsewhere = inputs(study=study(report={"contrasts": [["later", "baseline"]], "headline": headline}))
        assert answers(elsewhere) == ["There is no answer yet: no contrast has a current result of both its configs."]
    nothing = inputs(configs=[config("baseline", "none", runs(NAN)), config("a", "copy-paste", runs(0.6))])
    assert answers(nothing) == ["a can't be compared with baseline: no replicate has a Dice for both."]
