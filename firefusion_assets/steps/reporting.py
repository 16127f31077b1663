"""Making the report over all configs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from firefusion_assets.artifacts.store import UNPARTITIONED, Artifact
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.report.html import build_report, text_table
from firefusion_assets.steps.collecting import collect, report_fingerprint


def publish_report(lineage: Lineage, progress: Callable[[str], None]) -> Artifact:
    """Return the report on the configs as they are now; what it shows is what its manifest says that it uses."""

    def make(work: Path) -> Mapping[str, Any]:
        inputs = collect(lineage)
        comparison = build_report(inputs, work)
        progress("\n" + text_table(comparison))
        shown = comparison.astype(object).where(comparison.notna(), None)
        return {
            "n_configs": len(inputs.configs),
            "not_current": [config.key for config in inputs.configs if config.status != "current"],
            "comparison": shown.to_dict("records"),
        }

    data = [(asset, lineage.find(asset, UNPARTITIONED).fingerprint) for asset in ("landsat_patches", "scene_split")]
    artifact = lineage.store.build("augmentation_report", report_fingerprint(lineage), make, progress, data)
    lineage.store.point("augmentation_report", UNPARTITIONED, artifact)
    return artifact
