"""The report over all configs."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import dagster as dg

from firefusion_assets.orchestration.failures import last_failures
from firefusion_assets.orchestration.lineage_asset import lineage_asset
from firefusion_assets.orchestration.step import Step, table
from firefusion_assets.steps import object_checks as checks
from firefusion_assets.steps.addresses import address_of

_SHORT_MARKDOWN: Final = 1000
"""Characters of Markdown from which the UI shows a button instead."""


@lineage_asset(group="4_report", kinds={"report", "csv"}, page="report.md", checks=(checks.ALL_CURRENT,))
def augmentation_report(step: Step) -> dg.MaterializeResult:
    """Every config side by side: does painted fire help, by how much, and can the figure be trusted?

    Reads what the keys point at, so it can be made when only some configs are done; a figure made from other
    settings than today's is shown as stale. Publishes `report.html`, `comparison.csv` and plots.
    """
    from firefusion_assets.report.tables import comparison_texts
    from firefusion_assets.steps.reporting import last_comparison, publish_report

    failures = partial(last_failures, step.lineage.study.name, step.context.instance)
    report = publish_report(step.lineage, failures, step.progress)
    return step.published(
        report,
        verdict=dg.MetadataValue.md(_verdicts(report.facts)),
        report=dg.MetadataValue.url(address_of(step.lineage.study.name, report, "report.html")),
        report_file=dg.MetadataValue.path(str(report.path / "report.html")),
        comparison=table(comparison_texts(last_comparison(step.lineage)).to_dict("records")),
        answers=dg.MetadataValue.md("\n".join(f"- {answer}" for answer in report.facts["answers"])),
        sheet="dice.png",
    )


def _verdicts(facts: Mapping[str, Any]) -> str:
    """Return whether the assay works and the verdict of each config, short enough to be shown without a click."""
    text = "\n".join([facts["answers"][0], "", *(f"- {line}" for line in facts["verdicts"])])
    return text if len(text) < _SHORT_MARKDOWN else facts["answers"][0][: _SHORT_MARKDOWN - 1]
