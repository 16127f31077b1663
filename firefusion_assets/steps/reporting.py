"""The last report of a study, for the terminal."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.lineage.remedies import run_command
from firefusion_assets.report.html import text_figure, text_table


def report_table(lineage: Lineage) -> str:
    """Return the comparison of all configs, and where the report lies.

    Raises:
        MissingUpstreamError: if there is no report.
    """
    folder = _last_report(lineage)
    return f"{text_table(_comparison(folder))}\n\n{_where(folder)}"


def report_figures(lineage: Lineage, keys: Iterable[str]) -> str:
    """Return a line for each config with its Dice and its difference to the baseline, and where the report lies.

    Raises:
        MissingUpstreamError: if there is no report.
    """
    folder = _last_report(lineage)
    table = _comparison(folder).set_index("key", drop=False)
    return "\n".join([*(text_figure(table.loc[key]) for key in keys), _where(folder)])


def _last_report(lineage: Lineage) -> Path:
    report = lineage.store.pointed("augmentation_report", UNPARTITIONED)
    if report is None:
        raise MissingUpstreamError(f"{lineage.folder} has no report yet; make it: {run_command('KEY')}")
    return report.path


def _comparison(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "comparison.csv")


def _where(folder: Path) -> str:
    return f"Report: {folder / 'report.html'}"
