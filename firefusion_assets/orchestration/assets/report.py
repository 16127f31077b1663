"""The report over all configs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.lineage.fingerprints import STEP_VERSIONS
from firefusion_assets.orchestration import checks
from firefusion_assets.orchestration.publishing import progress_of, published, table, user_errors
from firefusion_assets.orchestration.resources import Workspace


@dg.asset(
    group_name="report",
    kinds={"report", "csv"},
    deps=[dg.AssetDep("dice_metrics", partition_mapping=dg.AllPartitionMapping())],
    code_version=str(STEP_VERSIONS["augmentation_report"]),
    check_specs=checks.specs("augmentation_report", checks.ALL_CURRENT),
)
def augmentation_report(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Every config side by side: does painted fire help, by how much, and can the figure be trusted?

    Reads what the keys point at, so it can be made when only some configs are done; a figure made from other
    settings than today's is shown as stale. Publishes `report.html`, `comparison.csv` and plots.
    """
    from firefusion_assets.steps.collecting import collect
    from firefusion_assets.steps.status import report_fingerprint

    lineage = workspace.lineage()

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.report.html import build_report, text_table

        inputs = collect(lineage)
        comparison = build_report(inputs, work)
        context.log.info("\n" + text_table(comparison))
        shown = comparison.astype(object).where(comparison.notna(), None)
        return {
            "n_configs": len(inputs.configs),
            "not_current": [config.key for config in inputs.configs if config.status != "current"],
            "comparison": shown.to_dict("records"),
        }

    with user_errors():
        fingerprint = report_fingerprint(lineage)
        artifact = lineage.store.build("augmentation_report", fingerprint, make, progress_of(context))
        lineage.store.point("augmentation_report", UNPARTITIONED, artifact)
    missing = artifact.facts["not_current"]
    return published(
        artifact,
        artifact.path / "dice.png",
        [checks.result(checks.ALL_CURRENT, not missing, not_current=", ".join(missing) or None)],
        report=dg.MetadataValue.url((artifact.path / "report.html").as_uri()),
        comparison=table(artifact.facts["comparison"]),
    )
