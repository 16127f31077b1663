"""The app of celery's workers: the step of a worker that is lost is run again by another.

    dagster-celery worker start -A firefusion_assets.orchestration.celery_worker -q gpu

A worker acknowledges a step when it is done, and what isn't acknowledged for _LOST_AFTER_S is given to another. Steps
take longer than that, so a worker that lives says so of each of its steps. Where the process of a step is killed and
its worker lives, as when memory runs out, the worker has it run once more.
"""

import multiprocessing
import os
import time
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from typing import Any, Final

from celery import bootsteps
from celery.signals import worker_process_init
from celery.worker import state
from celery.worker.consumer import Consumer
from dagster._core.execution.retries import RetryMode
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

import firefusion_assets.orchestration.code_location  # noqa: F401  - once, before a process is forked for each step
from firefusion_assets.orchestration.executors import BROKER

_LOST_AFTER_S: Final = 60
NOT_LOST: Final = {"acks_late": True, "retry_on_worker_lost": True, "max_retries": 1, "default_retry_delay": 10}
"""Options of a task that is run again; the delay in seconds."""


class KeepSteps(bootsteps.StartStopStep):
    """Keeps Redis from giving out the steps of a worker that lives."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    _timer: Any = None

    def start(self, parent: Consumer) -> None:
        """Begin to say so; called with each connection."""
        lost_after_s = parent.app.conf.broker_transport_options["visibility_timeout"]
        self._timer = parent.timer.call_repeatedly(lost_after_s / 6, self._say_so, (parent,))

    def stop(self, parent: Consumer) -> None:
        """End it; called too where a connection broke before it began."""
        if self._timer is not None:
            self._timer.cancel()

    def _say_so(self, consumer: Consumer) -> None:
        channel = consumer.task_consumer.channel
        stamps = {request.message.delivery_tag: time.time() for request in state.reserved_requests}
        if stamps:
            with channel.conn_or_acquire() as client:
                # Of those that are still there: one that was acknowledged meanwhile isn't brought back.
                client.zadd(channel.unacked_index_key, stamps, xx=True)


@worker_process_init.connect
def _may_start_processes(**_: object) -> None:
    """Let a step start processes, which those of celery's pool may not; ours end with it by themselves."""
    process = multiprocessing.current_process()
    process.daemon = False
    # Celery has a multiprocessing of its own, whose keys the standard one refuses to hand on.
    process._config["authkey"] = AuthenticationString(process.authkey)  # type: ignore[attr-defined]


def worker_app(lost_after_s: float = _LOST_AFTER_S) -> Any:
    """Return an app whose workers are taken for lost when they haven't said for so long that they live."""
    address = os.environ[BROKER]
    transport = {
        "visibility_timeout": lost_after_s,
        "unacked_restore_interval": lost_after_s / 12,
        "unacked_restore_throttle": 1,
        # Of a worker that is killed while it looks for the steps of others.
        "unacked_mutex_expire": int(lost_after_s),
    }
    # Steps are heavy: one at a time, each in a process of its own, so that its memory is freed, a GPU's too.
    settings = {"worker_concurrency": 1, "worker_max_tasks_per_child": 1, "broker_transport_options": transport}
    executor = CeleryExecutor(RetryMode.DISABLED, broker=address, backend=address, config_source=settings)
    made = make_app(executor.app_args())
    made.steps["consumer"].add(KeepSteps)
    create_task(made, **NOT_LOST)
    return made


app = worker_app()
