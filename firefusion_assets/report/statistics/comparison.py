"""All configs side by side: a row each, as the page, the terminal and `comparison.csv` show them."""

from typing import Final

import numpy as np
import pandas as pd

from firefusion_assets.core.fires import SIZES
from firefusion_assets.report.inputs import METRICS, ConfigResult, DetectorResult, ReportInputs
from firefusion_assets.report.statistics.contrasts import Contrast, contrasts, replicate_dice
from firefusion_assets.report.statistics.intervals import dice, false_alarm_interval

BY_SIZE: Final = {f"dice_of_{name}_px": size for name, size in SIZES.items()}
"""Columns of the Dice on patches whose fire is of a class of sizes; `dice_` and a number alone is a replicate's."""


def comparison(inputs: ReportInputs) -> pd.DataFrame:
    """Put all configs side by side: a row each, baseline first, then by key; then a row for each detector.

    Returns:
        key, engine (`detector` for detectors), status, n_images (added, a training), ``dice_R`` for each replicate,
        dice_mean and dice_std over replicates, difference to the baseline with low, high, p and verdict (see
        `Contrast`; against the baseline, of contrasts that the study names), the other `METRICS` (means over folds and
        replicates), `BY_SIZE`, false_alarms_low and false_alarms_high (of false_alarms_per_1000_km2), fire_free_km2
        (the area they rest on) and seconds. The Dice is the study's `report.headline`. What can't be known is missing,
        never 0; only current rows have a difference.
    """
    headline, baseline = inputs.study.report.headline, current_baseline(inputs)
    found = contrasts(inputs) if headline == "dice_micro" else []
    claims = {contrast.key: contrast for contrast in found if contrast.other == inputs.study.report.baseline}
    rows = [
        {
            "key": config.key,
            "engine": config.engine,
            "status": config.status,
            "n_images": _images(config),
            **_figures(config, inputs),
            **_difference(config, baseline, headline, claims.get(config.key)),
            "seconds": sum(config.cost.values()) if config.cost else None,
        }
        for config in inputs.ordered_configs
    ] + [
        {
            "key": detector.name,
            "engine": "detector",
            "status": "missing" if detector.metrics.empty else "current",
            **_figures(detector, inputs),
            **_difference(detector, baseline, headline, None),
        }
        for detector in inputs.detectors
    ]
    means = [name for name in METRICS if name != headline]
    numbers = [
        *(f"dice_{number}" for number in range(inputs.study.replicates.count)),
        *("dice_mean", "dice_std", "difference", "low", "high", "p", "verdict", *means, *BY_SIZE),
        *("false_alarms_low", "false_alarms_high", "fire_free_km2", "seconds"),
    ]
    table = pd.DataFrame(rows, columns=["key", "engine", "status", "n_images", *numbers])
    table["verdict"] = table["verdict"].astype(object).fillna("")
    return table.astype(dict.fromkeys((name for name in ["n_images", *numbers] if name != "verdict"), float))


def headline_dice(result: ConfigResult | DetectorResult, headline: str) -> pd.Series:
    """Return the Dice of each replicate that the study compares by, indexed by replicate."""
    if headline == "dice_micro" or result.metrics.empty:
        return replicate_dice(result)
    replicates = result.metrics.get("replicate", 0)
    dice_of: pd.Series = result.metrics.assign(replicate=replicates).groupby("replicate")[headline].mean()
    return dice_of


def current_baseline(inputs: ReportInputs) -> ConfigResult | None:
    """Return the baseline, if it has a current result."""
    key = inputs.study.report.baseline
    return next((config for config in inputs.configs if config.key == key and config.status == "current"), None)


def _images(config: ConfigResult) -> float | None:
    accepted = config.facts.get("n_images")
    return float(accepted) / max(1, len(config.metrics)) if isinstance(accepted, int | float) else None


def _figures(result: ConfigResult | DetectorResult, inputs: ReportInputs) -> dict[str, float]:
    if result.metrics.empty:
        return {}
    headline = inputs.study.report.headline
    of_replicates = headline_dice(result, headline)
    figures = {name: float(result.metrics[name].mean()) for name in METRICS if name != headline}
    figures |= _by_size(result.patches) | _alarms(result.patches)
    if isinstance(result, ConfigResult):
        figures |= {f"dice_{number}": float(value) for number, value in of_replicates.items()}
    return figures | {"dice_mean": float(of_replicates.mean()), "dice_std": float(of_replicates.std(ddof=1))}


def _by_size(patches: pd.DataFrame) -> dict[str, float]:
    if patches.empty:
        return {}
    counts = {
        name: patches.loc[patches["fire_pixels"].between(*size), ["tp", "fp", "fn"]].to_numpy(np.int64).sum(axis=0)
        for name, size in BY_SIZE.items()
    }
    return {name: float(dice(count)) for name, count in counts.items()}


def _alarms(patches: pd.DataFrame) -> dict[str, float]:
    """Say how sure the false alarms are; those of replicates on one ground are averaged, not added."""
    free = patches[(patches["fire_pixels"] == 0) & patches["area_km2"].notna()] if len(patches) else patches
    if free.empty:
        return {}
    n = patches["replicate"].nunique()
    area = float(free["area_km2"].sum()) / n
    low, high = false_alarm_interval(float(free["fp"].sum()) / n, area)
    return {"false_alarms_low": low, "false_alarms_high": high, "fire_free_km2": area}


def _difference(
    result: ConfigResult | DetectorResult, baseline: ConfigResult | None, headline: str, claim: Contrast | None
) -> dict[str, float | str]:
    stale = isinstance(result, ConfigResult) and result.status != "current"
    if baseline is None or result is baseline or stale or result.metrics.empty:
        return {}
    if claim is not None:
        # An interval from one group is infinite: nothing is known.
        low, high = (end if np.isfinite(end) else float("nan") for end in claim.interval)
        return {"difference": claim.difference, "low": low, "high": high, "p": claim.p, "verdict": claim.verdict}
    of_result, of_baseline = headline_dice(result, headline), headline_dice(baseline, headline)
    if isinstance(result, DetectorResult):  # it has no replicates
        return {"difference": float((of_result.mean() - of_baseline).mean())}
    return {"difference": float((of_result - of_baseline).mean()), "verdict": "no claim"}
