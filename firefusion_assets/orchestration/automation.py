"""The job over the lineage and the schedule that re-runs it for every config. Off until someone turns it on."""

from collections.abc import Iterator

import dagster as dg

from firefusion_assets.orchestration.partitions import AUGMENTATIONS

lineage_job = dg.define_asset_job(
    "lineage",
    selection=dg.AssetSelection.all(),
    description="Raw patches to report for one augmentation config. What is finished already is found, not made again.",
)


@dg.schedule(job=lineage_job, cron_schedule="0 3 * * 1", execution_timezone="UTC")
def weekly_lineage(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Runs the lineage for every config on Mondays at 03:00 UTC; only what changed is made again."""
    for key in AUGMENTATIONS.get_partition_keys():
        yield dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y%m%d%H%M}-{key}", partition_key=key)
