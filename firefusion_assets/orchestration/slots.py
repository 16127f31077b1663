"""The pool of GPU steps and its slots, which who starts a run gets ready, since there may be no daemon that does."""

import os
import socket
from typing import Final

import dagster as dg
import psutil
from sqlalchemy.exc import DBAPIError

from firefusion_assets.orchestration.step_options import GPU_POOL

_PROCESS: Final = "firefusion/process"


def process_tag() -> dict[str, str]:
    """Return the tag of a run by which others see whether this process lives: its machine and number."""
    return {_PROCESS: f"{socket.gethostname()} {os.getpid()}"}


def set_up_pool(instance: dg.DagsterInstance) -> None:
    """Make the pool, as Dagster else does when a step first asks for a slot.

    In PostgreSQL that fails for all but one of those who do it at once, maybe on several machines.
    """
    events = instance.event_log_storage
    if not events.supports_global_concurrency_limits or instance.global_op_concurrency_default_limit is None:
        return

    def is_there() -> bool:
        return any(pool.name == GPU_POOL for pool in events.get_pool_limits())

    if not is_there():
        try:
            events.initialize_concurrency_limit_to_default(GPU_POOL)
        except DBAPIError:
            if not is_there():
                raise


def pool_limit(instance: dg.DagsterInstance) -> int:
    """Return how many GPU steps may run at once; 1 where the pool has no limit."""
    events = instance.event_log_storage
    limits = events.get_pool_limits() if events.supports_global_concurrency_limits else []
    return next((pool.limit for pool in limits if pool.name == GPU_POOL), 1)


def free_slots_of_dead_runs(instance: dg.DagsterInstance) -> None:
    """Free the slots of runs that are gone or have ended, and of those whose process is gone; these have failed.

    A run that waits for such a slot would wait for ever.
    """
    events = instance.event_log_storage
    if not events.supports_global_concurrency_limits:
        return
    for run_id in events.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            if not _is_dead(run):
                continue
            instance.report_run_failed(run, "The process of this run was killed.")
        events.free_concurrency_slots_for_run(run_id)


def _is_dead(run: dg.DagsterRun) -> bool:
    """Tell whether no process has the number of a run's, which another one may have got since."""
    machine, _, number = run.tags.get(_PROCESS, "").partition(" ")
    return machine == socket.gethostname() and not psutil.pid_exists(int(number))
