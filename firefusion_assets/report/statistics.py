"""The comparison of configs, and what a reader must know before believing it.

Figures and sentences only; plots and HTML say how they look. Dice and shares are fractions in
tables and percent points in sentences.
"""

from collections.abc import Iterator, Sequence

import pandas as pd

from firefusion_assets.report.inputs import METRICS, ConfigResult, DetectorResult, ReportInputs

FEW_SCENES = 10
FEW_FIRE_SCENES = 3
FEW_FIRE_PATCHES = 30
"""Below these, the evaluated part is called small."""


def comparison(inputs: ReportInputs) -> pd.DataFrame:
    """Put all configs side by side: a row each, baseline first, then by key; then a row for each detector.

    Returns:
        key, engine (`detector` for detectors), status, n_images, ``dice_R`` for each replicate
        (mean over folds), dice_mean and dice_std over replicates and folds, difference and difference_std (mean
        and spread of the differences to the baseline, paired by fold and replicate), the other `METRICS` (mean
        over replicates and folds) and seconds. The Dice is the study's `report.headline`. Spreads are sample standard
        deviations. What can't be known is missing, never 0; only current rows have a difference.
    """
    baseline, headline = _current_baseline(inputs), inputs.study.report.headline
    rows = [
        {
            "key": config.key,
            "engine": config.engine,
            "status": config.status,
            "n_images": config.facts.get("n_images"),
            **_figures(config.metrics, range(inputs.study.replicates.count), headline),
            **_difference(config, baseline, headline),
            "seconds": sum(config.cost.values()) if config.cost else None,
        }
        for config in inputs.ordered_configs
    ] + [
        {
            "key": detector.name,
            "engine": "detector",
            "status": "missing" if detector.metrics.empty else "current",
            **_figures(detector.metrics, (), headline),
            **_difference(detector, baseline, headline),
        }
        for detector in inputs.detectors
    ]
    means = [name for name in METRICS if name != headline]
    numbers = [
        *(f"dice_{number}" for number in range(inputs.study.replicates.count)),
        *("dice_mean", "dice_std", "difference", "difference_std", *means, "seconds"),
    ]
    table = pd.DataFrame(rows, columns=["key", "engine", "status", "n_images", *numbers])
    return table.astype({"n_images": "Int64", **dict.fromkeys(numbers, float)})


def paired_differences(result: ConfigResult | DetectorResult, other: ConfigResult, headline: str) -> pd.Series:
    """Return the differences of the headline's column to another config, one for each fold and replicate of both.

    A detector has no replicates: its Dice in a fold is compared with each of the other.
    """
    if result.metrics.empty or other.metrics.empty:
        return pd.Series(dtype=float)
    pair_by = [name for name in ("fold", "replicate") if name in result.metrics]
    pairs = result.metrics.merge(other.metrics, on=pair_by, suffixes=("", "_other"))
    return (pairs[headline] - pairs[f"{headline}_other"]).dropna()


def answers(inputs: ReportInputs) -> list[str]:
    """Answer the study's question, a sentence for each current config; say so where there is no answer."""
    baseline = _current_baseline(inputs)
    if baseline is None:
        return [f"There is no answer yet: {inputs.study.report.baseline!r}, the baseline, has no current result."]
    others = [config for config in _current(inputs) if config is not baseline]
    if not others:
        return ["There is no answer yet: no config but the baseline has a current result."]
    controls = [config for config in others if config.copies]
    sentences = []
    for config in others:
        sentences.append(_answer(config, baseline, inputs))
        if config.paints and not config.copies:
            sentences.extend(_answer(config, control, inputs) for control in controls)
    return sentences


def warnings(inputs: ReportInputs) -> list[str]:
    """Say in plain words why the comparison may mislead."""
    return [
        *_protocol_warnings(inputs),
        *_data_warnings(inputs),
        *_size_warnings(inputs),
        *_repetition_warnings(inputs),
        *_config_warnings(inputs),
    ]


def points(fraction: float) -> str:
    """Return a difference in percent points with its sign: 0.0312 becomes `+3.1`."""
    # Rounding first keeps a tiny negative difference from showing as -0.0.
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"


def _current(inputs: ReportInputs) -> list[ConfigResult]:
    return [config for config in inputs.ordered_configs if config.status == "current"]


def _current_baseline(inputs: ReportInputs) -> ConfigResult | None:
    return next((config for config in _current(inputs) if config.key == inputs.study.report.baseline), None)


def _figures(metrics: pd.DataFrame, numbers: Sequence[int], headline: str) -> dict[str, float]:
    if metrics.empty:
        return {}
    figures = {
        f"dice_{number}": float(metrics.loc[metrics["replicate"] == number, headline].mean()) for number in numbers
    }
    figures |= {name: float(metrics[name].mean()) for name in METRICS if name != headline}
    return figures | {
        "dice_mean": float(metrics[headline].mean()),
        "dice_std": float(metrics[headline].std(ddof=1)),
    }


def _difference(result: ConfigResult | DetectorResult, baseline: ConfigResult | None, dice: str) -> dict[str, float]:
    stale = isinstance(result, ConfigResult) and result.status != "current"
    if baseline is None or result is baseline or stale:
        return {}
    differences = paired_differences(result, baseline, dice)
    return {"difference": float(differences.mean()), "difference_std": float(differences.std(ddof=1))}


def _answer(config: ConfigResult, other: ConfigResult, inputs: ReportInputs) -> str:
    differences = paired_differences(config, other, inputs.study.report.headline)
    if differences.empty:
        return f"{config.key} can't be compared with {other.key}: no fold and replicate has a Dice for both."
    spread = f" (spread {100 * differences.std(ddof=1):.1f})" if len(differences) > 1 else ""
    repeats = _count(config.metrics["replicate"].nunique(), "replicate")
    folds = config.metrics["fold"].nunique()
    if folds > 1:
        repeats += f" and {folds} folds"
    higher = int((differences > 0).sum())
    doubt = " That is less than its spread: it may be chance." if _may_be_chance(differences) else ""
    return (
        f"{config.key} changes {inputs.dice_name} by {points(differences.mean())} points{spread} against {other.key} "
        f"over {repeats}; it is higher in {higher} of {_count(len(differences), 'pair')}.{doubt}"
    )


def _protocol_warnings(inputs: ReportInputs) -> Iterator[str]:
    if inputs.study.evaluation.part == "val":
        yield (
            "These figures are a replication, not a valid estimate: they come from the validation part, and the "
            "checkpoint was chosen on the same patches. For an estimate set evaluation.part to test."
        )
    if inputs.study.report.headline == "dice_batch_mean":
        yield (
            "Dice is the mean over batches of 8 patches that contain fire: false alarms in other batches cost nothing, "
            "and a few patches decide it. Set report.headline to dice_micro to count all pixels."
        )


def _data_warnings(inputs: ReportInputs) -> Iterator[str]:
    if inputs.study.dataset.source == "simulated":
        yield (
            "These figures come from simulated scenes; they show that the pipeline works and say nothing "
            "about real fires."
        )
    if inputs.study.dataset.source == "landsat":
        yield (
            f"The labels are made by detectors ({inputs.study.dataset.labels}), not by people: these figures say how "
            "well the detectors are imitated, with their faults."
        )
    if inputs.study.split.by == "patch":
        yield (
            "The split is leaky: it is by patch, so neighbouring patches of one fire may be in the train and the "
            f"{inputs.part_name} part, so the figures may be too good. Set split.by to group where there are enough "
            "scenes."
        )
    skipped = inputs.data.get("skipped_files")
    if isinstance(skipped, Sequence) and skipped:
        yield f"{_count(len(skipped), 'file')} could not be used and left out; see Data."


def _size_warnings(inputs: ReportInputs) -> Iterator[str]:
    if inputs.split.empty:
        return
    part = inputs.split[inputs.split["part"] == inputs.study.evaluation.part]
    scenes, fire_patches = int(part["n_scenes"].sum()), int(part["n_fire_patches"].sum())
    # Without a count of its own, each patch with fire may be from another scene.
    fire_scenes = int(part["n_fire_scenes"].sum()) if "n_fire_scenes" in part else min(scenes, fire_patches)
    if scenes < FEW_SCENES or fire_scenes < FEW_FIRE_SCENES:
        known = f", {fire_scenes} of them with fire" if "n_fire_scenes" in part else ""
        yield (
            f"The {inputs.part_name} part is {_count(scenes, 'scene')}{known}: other scenes may reverse the result. "
            f"Test at least {FEW_SCENES}, {FEW_FIRE_SCENES} of them with fire; more folds test more scenes."
        )
    if fire_patches < FEW_FIRE_PATCHES:
        yield (
            f"The {inputs.part_name} part has {_count(fire_patches, 'patch', 'patches')} with fire: a few of them "
            "decide the Dice."
        )


def _repetition_warnings(inputs: ReportInputs) -> Iterator[str]:
    if inputs.study.replicates.count == 1:
        yield (
            "Each U-Net was trained once only: how much the figures change from one training to the "
            "next is not known. Set replicates.count to 6 or more."
        )
    if inputs.study.split.folds == 1:
        yield (
            f"There is one fold: only one choice of {inputs.part_name} scenes was measured. Set split.folds to 3 or "
            "more where there are enough scenes."
        )


def _config_warnings(inputs: ReportInputs) -> Iterator[str]:
    baseline = _current_baseline(inputs)
    if all(config.key != inputs.study.report.baseline for config in inputs.configs):
        yield (
            f"The study has no config {inputs.study.report.baseline!r}, which report.baseline names; without "
            "it there are no differences."
        )
    for config in inputs.ordered_configs:
        if config.status != "current":
            yield f"{config.key} is {config.status} and does not count. {config.note}".strip()
    current = _current(inputs)
    painting = [config for config in current if config.paints]
    if painting and not any(config.copies for config in painting):
        yield (
            "No config that adds copies of real fires is current: without this control, a gain may come from more "
            "fire alone, however it is made."
        )
    for config in current:
        wanted, accepted = config.facts.get("wanted"), config.facts.get("n_images")
        if isinstance(wanted, int | float) and isinstance(accepted, int | float) and accepted < wanted:
            yield (
                f"{config.key} adds {accepted} of the {wanted} images wanted: too few passed screening. "
                "Raise sampling.max_tries, or look at why they were rejected."
            )
        if baseline is None or config is baseline:
            continue
        differences = paired_differences(config, baseline, inputs.study.report.headline)
        if _may_be_chance(differences):
            yield (
                f"{config.key}: the difference to {baseline.key} ({points(differences.mean())} points) is "
                f"smaller than its spread over replicates and folds ({100 * differences.std(ddof=1):.1f}): it "
                "may be chance."
            )


def _may_be_chance(differences: pd.Series) -> bool:
    return bool(abs(differences.mean()) < differences.std(ddof=1))


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
