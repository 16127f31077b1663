"""The study's question answered in sentences, in the words that the figures allow."""

import math

from firefusion_assets.report.inputs import ReportInputs
from firefusion_assets.report.statistics.comparison import current_baseline, headline_dice
from firefusion_assets.report.statistics.contrasts import Contrast, contrasts, named_contrasts
from firefusion_assets.report.statistics.warnings import count


def answers(inputs: ReportInputs) -> list[str]:
    """Say first whether the assay works, then a sentence for each contrast; say so where there is no answer."""
    if current_baseline(inputs) is None:
        return [f"There is no answer yet: {inputs.study.report.baseline!r}, the baseline, has no current result."]
    if sum(config.status == "current" for config in inputs.configs) < 2:
        return ["There is no answer yet: no config but the baseline has a current result."]
    current = {config.key for config in inputs.configs if config.status == "current"}
    if not any({*pair} <= current for pair in named_contrasts(inputs)):
        return ["There is no answer yet: no contrast has a current result of both its configs."]
    if inputs.study.report.headline != "dice_micro":
        return _unclaimed(inputs)
    found = contrasts(inputs)
    sentences = [_sentence(contrast, len(named_contrasts(inputs))) for contrast in found]
    return [*assay(inputs, found), *sentences, *_rest_on(found)]


def assay(inputs: ReportInputs, found: list[Contrast]) -> list[str]:
    """Say whether the controls came out as they are known to; nothing if there are none."""
    verdicts = {one.key: one.verdict for one in found if one.other == inputs.study.report.baseline}
    controls = [config for config in inputs.ordered_configs if config.expected and config.key in verdicts]
    if not controls:
        return []
    wrong = [config for config in controls if verdicts[config.key] != config.expected]
    if not wrong:
        right = " and ".join(f"{config.key} is {config.expected}" for config in controls)
        return [f"The assay works: {right} than {inputs.study.report.baseline}, as they must be."]
    if all(verdicts[config.key] == "not decidable" for config in controls):
        return ["Whether the assay works can't be decided: there are too few replicates to claim anything."]
    failed = "; ".join(
        f"{config.key} must be {config.expected} than {inputs.study.report.baseline}, and the verdict is "
        f"{verdicts[config.key]!r}"
        for config in wrong
    )
    return [f"THE ASSAY DOES NOT WORK: {failed}. No other verdict can be trusted."]


def points(fraction: float) -> str:
    """Return a difference in percent points with its sign: 0.0312 becomes `+3.1`."""
    # Rounding first keeps a tiny negative difference from showing as -0.0.
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"


def _sentence(contrast: Contrast, named: int) -> str:
    if not contrast.replicates:
        return f"{contrast.key} can't be compared with {contrast.other}: no replicate has a Dice for both."
    figures = f"{points(contrast.difference)} points, {_interval(contrast)}, adjusted p {contrast.p:.3f}"
    pair = f"{contrast.key} against {contrast.other}"
    if contrast.verdict == "not decidable":
        return (
            f"{pair}: not decidable with {count(contrast.replicates, 'replicate')}; {count(named, 'contrast')} "
            f"{'needs' if named == 1 else 'need'} {contrast.needed} ({figures})."
        )
    if contrast.verdict == "no claim":
        return f"{pair}: no claim ({figures})."
    return f"{contrast.key} is {contrast.verdict} than {contrast.other} ({figures})."


def _rest_on(found: list[Contrast]) -> list[str]:
    """Say how much the contrasts rest on; all see the same groups."""
    measured = [one for one in found if one.replicates]
    if not measured:
        return []
    least = min(measured, key=lambda one: one.replicates)
    return [
        f"This rests on {count(least.replicates, 'replicate')} and {count(least.groups, 'group')} with fire, which "
        f"decide as much as {least.effective_groups:.1f} groups would that burn equally."
    ]


def _interval(contrast: Contrast) -> str:
    low, high = contrast.interval
    if not math.isfinite(low):
        return "no interval from one group"
    return f"95 % interval {points(low)} to {points(high)}{'' if contrast.reliable else ' (unreliable)'}"


def _unclaimed(inputs: ReportInputs) -> list[str]:
    headline = inputs.study.report.headline
    dice = {
        config.key: headline_dice(config, headline) for config in inputs.ordered_configs if config.status == "current"
    }
    named = [(key, other) for key, other in named_contrasts(inputs) if key in dice and other in dice]
    return [
        f"{key} changes {inputs.dice_name} by {points((dice[key] - dice[other]).mean())} points against {other}; "
        "nothing is claimed from this figure."
        for key, other in named
    ]
