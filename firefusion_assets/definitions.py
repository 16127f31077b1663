"""The code location: the one place where Dagster objects are put together.

`FIREFUSION_STUDY` names the study folder, `FIREFUSION_ARTIFACTS` where its objects lie, `FIREFUSION_EXECUTOR` what
runs the steps.
"""

import dagster as dg

from firefusion_assets.lineage.fingerprints import open_lineage
from firefusion_assets.orchestration.assets import augmentation, data, report, segmentation
from firefusion_assets.orchestration.automation import lineage_job, weekly_lineage
from firefusion_assets.orchestration.executors import executor
from firefusion_assets.orchestration.resources import Workspace


def build_defs() -> dg.Definitions:
    """Return the definitions of the study that the environment names."""
    lineage = open_lineage()
    return dg.Definitions(
        assets=dg.load_assets_from_modules([data, augmentation, segmentation, report]),
        jobs=[lineage_job],
        schedules=[weekly_lineage],
        executor=executor(),
        resources={"workspace": Workspace(study_folder=str(lineage.folder), artifacts_folder=str(lineage.store.root))},
    )


defs = build_defs()
