"""Why a step failed, in the words that help a person."""

import dagster as dg
from dagster_shared.error import SerializableErrorInfo


def reason(event: dg.DagsterEvent) -> str:
    """Return what a failed step says of itself: the description that it was given, else its first cause."""
    failure = event.step_failure_data
    written = failure.user_failure_data.description if failure.user_failure_data is not None else None
    first = first_cause(failure.error)
    return written or (first.message.strip() if first else event.message) or "no reason was recorded"


def first_cause(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    """Return the error that began a chain of them."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error
