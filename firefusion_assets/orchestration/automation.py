"""The job over a study's lineage and the schedule that re-runs it for every config. Off until someone turns it on."""

from collections.abc import Iterator

import dagster as dg


def automation(study: str, partitions: dg.PartitionsDefinition[str]) -> dg.Definitions:
    """Return the job `<study>_lineage` over all assets of a study, and the schedule `<study>_weekly` of it."""
    name = study.replace("-", "_")  # which Dagster allows for jobs and schedules
    job = dg.define_asset_job(
        f"{name}_lineage",
        selection=dg.AssetSelection.key_prefixes([study]),
        description="Raw patches to report for one augmentation config. What is finished is found, not made again.",
    )

    @dg.schedule(
        name=f"{name}_weekly",
        job=job,
        cron_schedule="0 3 * * 1",
        execution_timezone="UTC",
        description="Runs the lineage for every config on Mondays at 03:00 UTC; only what changed is made again.",
    )
    def weekly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        for key in partitions.get_partition_keys():
            yield dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y%m%d%H%M}-{key}", partition_key=key)

    return dg.Definitions(jobs=[job], schedules=[weekly])
