"""Why a step failed, in the words that help a person."""

from typing import Final

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

_CRASH: Final = "ChildProcessCrashException"
"""What Dagster tells of a step whose process is gone; the exception has no words."""


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
