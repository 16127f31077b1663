"""The report over all configs: made, and shown in the terminal."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.lineage.assets import REPORT
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.lineage.remedies import run_command
from firefusion_assets.report.html import build_report
from firefusion_assets.report.tables import comparison_texts, text_figures, text_table
from firefusion_assets.steps.collecting import collect
from firefusion_assets.steps.overview import Failures
from firefusion_assets.steps.status import report_fingerprint


def publish_report(lineage: Lineage, failures: Callable[[], Failures], progress: Callable[[str], None]) -> Artifact:
    """Return the report on the configs as they are now; what it shows is what its manifest says that it uses.

    Its section on what is current, runs or failed is of the moment when its figures were new, and says so: no
    fingerprint depends on it.
    """

    def make(work: Path) -> Mapping[str, Any]:
        inputs = collect(lineage, failures)
        comparison, sentences = build_report(inputs, work)
        texts = comparison_texts(comparison)
        judged = texts[comparison["verdict"] != ""]
        progress("\n" + text_table(comparison))
        return {
            "n_configs": len(inputs.configs),
            "not_current": [config.key for config in inputs.configs if config.status != "current"],
            "answers": sentences,
            "verdicts": [
                f"{key}: **{verdict}**, {difference}"
                for key, verdict, difference in zip(
                    judged["Config"], judged["Verdict"], judged["Difference to baseline"], strict=True
                )
            ],
        }

    data = [(asset, lineage.find(asset, UNPARTITIONED).fingerprint) for asset in ("landsat_patches", "scene_split")]
    artifact = lineage.store.build(REPORT, report_fingerprint(lineage), make, progress, data)
    lineage.store.point(REPORT, UNPARTITIONED, artifact)
    return artifact


def report_table(lineage: Lineage) -> str:
    """Return the comparison of all configs, and the path of the report.

    Raises:
        MissingUpstreamError: if there is no report.
    """
    return f"{text_table(last_comparison(lineage))}\n\n{_where(_last_report(lineage).path)}"


def last_comparison(lineage: Lineage) -> pd.DataFrame:
    """Return the comparison of the last report, as `statistics.comparison.comparison` describes it.

    Raises:
        MissingUpstreamError: if there is no report.
    """
    table = pd.read_csv(_last_report(lineage).path / "comparison.csv")
    return table.astype({"verdict": object}).fillna({"verdict": ""})


def report_figures(lineage: Lineage, keys: Iterable[str]) -> str:
    """Return a line for each config with its Dice and its difference to the baseline, and the path of the report.

    Configs that the report has no figure of are named last, with the command that makes them.

    Raises:
        MissingUpstreamError: if there is no report.
    """
    table, missing = last_comparison(lineage).set_index("key", drop=False), _last_report(lineage).facts["not_current"]
    lines = [*text_figures(table.loc[list(keys)]), _where(_last_report(lineage).path)]
    if missing:
        lines.append(f"Without a figure of today's settings: {', '.join(missing)}; {run_command(' '.join(missing))}")
    return "\n".join(lines)


def _last_report(lineage: Lineage) -> Artifact:
    report = lineage.store.pointed(REPORT, UNPARTITIONED)
    if report is None:
        raise MissingUpstreamError(f"{lineage.folder} has no report yet; make it: {run_command('KEY')}")
    return report


def _where(folder: Path) -> str:
    return f"Report: {folder / 'report.html'}"
