"""Why a step failed, in the words that help a person."""

from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

if TYPE_CHECKING:
    from firefusion_assets.steps.overview import Failures

_CRASH: Final = "ChildProcessCrashException"
"""What Dagster tells of a step whose process is gone; the exception has no words."""

_RUNS_LOOKED_AT: Final = 50
"""Failed runs, the newest first, in which failures are looked for."""


def last_failures(study: str, instance: dg.DagsterInstance) -> "Failures":
    """Return of each asset and key of a study that failed lately when it did, and why.

    What someone interrupted didn't fail.
    """
    found: dict[tuple[str, str], tuple[float, str]] = {}
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    for run in instance.get_runs(failed, limit=_RUNS_LOOKED_AT):
        key = run.tags.get("dagster/partition", "")
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            # An asset of several steps has keys such as `study__asset.piece[1_of_3]`.
            step, event = (entry.step_key or "").partition(".")[0], entry.dagster_event
            asset = step.rpartition("__")[2]
            is_ours = step == dg.AssetKey([study, asset]).to_python_identifier()
            if is_ours and event is not None and not is_interruption(first_cause(event.step_failure_data.error)):
                line = reason(event).partition("\n")[0]
                found.setdefault((asset, key), (entry.timestamp, line))
    return found


def is_interruption(error: SerializableErrorInfo | None) -> bool:
    """Tell whether an error is that of a step that someone interrupted."""
    return error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__


def reason(event: dg.DagsterEvent) -> str:
    """Return what a failed step says of itself: the description that it was given, else its first cause."""
    failure = event.step_failure_data
    written = failure.user_failure_data.description if failure.user_failure_data is not None else None
    first = first_cause(failure.error)
    if first is not None and first.cls_name == _CRASH:
        return (
            "its process was killed from outside, as systems do when memory runs out; with enough of it the same "
            "command goes on from here"
        )
    return written or (first.message.strip() if first else event.message) or "no reason was recorded"


def first_cause(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    """Return the error that began a chain of them."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error
