"""The job over a study's lineage, and what starts it. All is off until `automation.enabled` or the UI turns it on."""

import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from firefusion_assets.lineage.assets import REPORT
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.orchestration.failures import reason

WEBHOOK: Final = "FIREFUSION_WEBHOOK"
"""Environment variable with the address that is told of failures; it is a secret, so no file of the study holds it."""
_WEBHOOK_TIMEOUT_S: Final = 10
_MONDAYS: Final = "0 3 * * 1"
REPORT_FRESHNESS: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=8))
"""Of a report that follows the weekly schedule."""

_CONDITION = dg.AutomationCondition
FOLLOWS: Final = (
    _CONDITION.any_deps_updated().since(_CONDITION.newly_requested() | _CONDITION.newly_updated())
    & ~_CONDITION.any_deps_in_progress()
    & ~_CONDITION.in_progress()
)
"""When the report is made by itself: after figures that it doesn't show yet, once nothing runs that makes others."""


def automation(lineage: Lineage, partitions: dg.PartitionsDefinition[str]) -> dg.Definitions:
    """Return the job `<study>_lineage`, its schedule and its sensors.

    They are `<study>_weekly`, `<study>_changes` (runs what new patches or changed settings made stale),
    `<study>_report` (lets the report follow) and `<study>_failures` (tells what to do).
    """
    study, settings = lineage.study.name, lineage.study.automation
    name = study.replace("-", "_")  # which Dagster allows for jobs and schedules
    runs = dg.DefaultSensorStatus.RUNNING if settings.enabled else dg.DefaultSensorStatus.STOPPED
    job = dg.define_asset_job(
        f"{name}_lineage",
        selection=dg.AssetSelection.key_prefixes([study]),
        description="Raw patches to report for one augmentation config. What is finished is found, not made again.",
    )

    @dg.schedule(
        name=f"{name}_weekly",
        job=job,
        cron_schedule=_MONDAYS,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if settings.enabled else dg.DefaultScheduleStatus.STOPPED,
        description="Runs the lineage for every config on Mondays at 03:00 UTC; only what changed is made again.",
    )
    def weekly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        for key in partitions.get_partition_keys():
            yield dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y%m%d%H%M}-{key}", partition_key=key)

    @dg.sensor(
        name=f"{name}_changes",
        job=job,
        minimum_interval_seconds=300,
        default_status=runs,
        description=f"Runs the configs that new patches or changed YAML made stale, {settings.max_hours:g} hours of "
        "past cost at most a look. What failed is not tried again until something changes.",
    )
    def changes(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        from firefusion_assets.steps.due import affordable, due_configs

        due = due_configs(Lineage(lineage.folder, lineage.store))
        chosen = affordable([one for one in due if one.key in partitions.get_partition_keys()], settings.max_hours)
        for one in chosen:
            yield dg.RunRequest(run_key=f"{one.key}-{one.made_from}", partition_key=one.key)
        if not chosen:
            waiting = ", ".join(f"{one.key} ({one.hours:.1f} h)" for one in due)
            yield dg.SkipReason(
                f"Stale, but above automation.max_hours ({settings.max_hours:g}): {waiting}"
                if due
                else "All is current."
            )

    @dg.run_failure_sensor(
        name=f"{name}_failures",
        monitored_jobs=[job],
        default_status=runs,
        description=f"Logs why a run failed and what to do, and sends it to the address in {WEBHOOK}.",
    )
    def failures(context: dg.RunFailureSensorContext) -> None:
        key = context.dagster_run.tags.get("dagster/partition", "")
        reasons = [f"{event.step_key}: {reason(event)}" for event in context.get_step_failure_events()]
        text = "\n".join(
            [
                f"FireFusion: the run for {study}{f', config {key}' if key else ''} failed.",
                *(reasons or [context.failure_event.message or ""]),
                f"When that is mended: firefusion run {key} --study {lineage.folder}; finished work is kept.",
            ]
        )
        context.log.error(text)
        if address := os.environ.get(WEBHOOK):
            _post(address, {"text": text})

    report = dg.AutomationConditionSensorDefinition(
        f"{name}_report",
        target=dg.AssetSelection.assets(dg.AssetKey([study, REPORT])),
        default_status=runs,
        description="Makes the report again after new figures, where a run didn't.",
    )
    return dg.Definitions(jobs=[job], schedules=[weekly], sensors=[changes, report, failures])


def _post(address: str, body: Mapping[str, Any]) -> None:
    """Send JSON as chat programs take it; what can't be sent fails the sensor's tick, which the UI shows."""
    if not address.startswith(("https://", "http://")):
        raise ValueError(f"{WEBHOOK}: {address.partition(':')[0]}: is no web address")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_WEBHOOK_TIMEOUT_S):  # noqa: S310
        pass
