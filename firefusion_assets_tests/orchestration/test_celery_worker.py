"""What a worker of celery is given, it keeps while it lives; what it had when it was killed, another does."""

import importlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firefusion_assets_tests.builders.commands import cli_command
from firefusion_assets_tests.builders.databases import redis_server
from firefusion_assets_tests.builders.studies import REPOSITORY

pytestmark = pytest.mark.slow
APP = "firefusion_assets_tests.builders.counting_worker"


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of the app, with a broker that two workers of it listen to."""
    pytest.importorskip("dagster_celery", reason="needs the extra celery")
    with redis_server(tmp_path / "redis") as address:
        monkeypatch.setenv("FIREFUSION_CELERY_BROKER", address)
        yield importlib.import_module(APP)


def start_worker(tmp_path: Path, name: str) -> "subprocess.Popen[bytes]":
    with (tmp_path / "log").open("ab") as log:
        return subprocess.Popen(
            cli_command("celery", "-A", APP, "worker", "-Q", "dagster", "-n", f"{name}@%h", "--loglevel", "INFO"),
            stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True,
        )  # fmt: skip


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_task_is_done_once_by_a_worker_that_lives_and_by_another_where_it_is_killed(
    tmp_path: Path, counting: Any
) -> None:
    begun, until = tmp_path / "begun", tmp_path / "until"
    lines = lambda: len(begun.read_text().splitlines()) if begun.exists() else 0  # noqa: E731
    workers = [start_worker(tmp_path, "first")]
    try:
        result = counting.wait.apply_async((str(begun), str(until)), queue="dagster")
        wait_for(lambda: lines() == 1)
        workers.append(start_worker(tmp_path, "second"))
        wait_for(lambda: (tmp_path / "log").read_text().count(" ready.\n") == 2)
        time.sleep(4 * counting.LOST_AFTER_S)
        assert lines() == 1, "another worker was given what its worker still does"
        os.killpg(workers[0].pid, signal.SIGKILL)
        wait_for(lambda: lines() == 2)
        until.touch()
        result.get(timeout=60)
    finally:
        for worker in workers:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
