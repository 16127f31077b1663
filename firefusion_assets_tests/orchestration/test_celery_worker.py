"""What a worker of celery is given, it keeps while it lives; what it had when it was killed, another does."""

import importlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from firefusion_assets_tests.builders.commands import cli_command
from firefusion_assets_tests.builders.databases import redis_server
from firefusion_assets_tests.builders.studies import REPOSITORY

pytestmark = pytest.mark.faults
APP = "firefusion_assets_tests.builders.counting_worker"


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module of the app, which takes its broker from the environment when it is imported."""
    pytest.importorskip("dagster_celery", reason="needs the extra celery")
    with redis_server(tmp_path_factory.mktemp("broker") / "redis") as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIREFUSION_CELERY_BROKER", address)
        yield importlib.import_module(APP)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    """Start a worker by its name; all are killed at the end."""
    started = []

    def start(name: str) -> "subprocess.Popen[bytes]":
        command = cli_command("celery", "-A", APP, "worker", "-Q", "dagster", "-n", f"{name}@%h", "--loglevel", "INFO")
        with (tmp_path / "log").open("ab") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True))
        return started[-1]

    yield start
    for worker in started:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


@pytest.fixture
def task(tmp_path: Path, counting: Any) -> "Task":
    """A task that waits."""
    return Task(tmp_path, counting)


class Task:
    """One task: its result, how often it was begun, and its end."""

    def __init__(self, folder: Path, counting: Any) -> None:
        self._begun, self._until = folder / "begun", folder / "until"
        self.result = counting.wait.apply_async((str(self._begun), str(self._until)), queue="dagster")

    def is_begun(self, times: int) -> bool:
        return self._begun.exists() and len(self._begun.read_text().splitlines()) == times

    def let_it_end(self) -> None:
        self._until.touch()


def test_a_task_is_done_once_by_a_worker_that_lives_and_by_another_where_it_is_killed(
    tmp_path: Path, counting: Any, task: Task, workers: Callable[[str], "subprocess.Popen[bytes]"]
) -> None:
    first = workers("first")
    wait_for(lambda: task.is_begun(1))
    workers("second")
    wait_for(lambda: (tmp_path / "log").read_text().count(" ready.\n") == 2)
    time.sleep(4 * counting.LOST_AFTER_S)
    assert task.is_begun(1), "another worker was given what its worker still does"
    os.killpg(first.pid, signal.SIGKILL)
    wait_for(lambda: task.is_begun(2))
    task.let_it_end()
    task.result.get(timeout=60)


def test_a_task_whose_process_is_killed_is_begun_once_more_and_then_fails(
    task: Task, workers: Callable[[str], "subprocess.Popen[bytes]"]
) -> None:
    worker = workers("only")
    for times in (1, 2):
        wait_for(lambda times=times: task.is_begun(times))
        (process,) = psutil.Process(worker.pid).children()
        process.kill()
    with pytest.raises(Exception, match="Worker exited prematurely"):
        task.result.get(timeout=120)
    assert task.is_begun(2)
