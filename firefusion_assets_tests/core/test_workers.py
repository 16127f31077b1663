"""The pool of worker processes: results, progress, and what becomes of workers that die or don't want to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from firefusion_assets.core import workers
from firefusion_assets.core.workers import WorkerError, Workers
from firefusion_assets_tests.builders.studies import REPOSITORY

pytestmark = pytest.mark.slow

Progress = Callable[[str], None]


def squaring(slot: int) -> Callable[[int, Progress], tuple[int, int]]:
    """Get ready to square numbers; a result holds the slot of its process."""

    def square(number: int, progress: Progress) -> tuple[int, int]:
        if number < 0:
            raise ValueError(f"{number} is negative")
        progress(f"squared {number}")
        return slot, number**2

    return square


def dying(slot: int) -> Callable[[Path, Progress], None]:
    """Get ready to die by a signal; a second worker ignores SIGTERM and waits."""

    def work(mark: Path, progress: Progress) -> None:
        if mark.name == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            mark.write_text(str(os.getpid()))
            time.sleep(300)
        limit = time.monotonic() + 100
        while not (mark.parent / "stubborn").exists() and time.monotonic() < limit:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)

    return work


def name_of(item: object) -> str:
    return f"work on {item}"


def test_results_come_in_order_and_progress_reaches_the_caller() -> None:
    told: list[str] = []
    with Workers(2, squaring, name_of, told.append) as pool:
        results = list(pool.in_order(range(6), 1))
    assert [square for _, square in results] == [number**2 for number in range(6)]
    assert {slot for slot, _ in results} <= {0, 1}
    assert sorted(told) == [f"squared {number}" for number in range(6)]


def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="-1 is negative"), Workers(1, squaring, name_of, print) as pool:
        list(pool.as_done([-1]))


def test_an_error_while_more_work_waits_ends_the_pool() -> None:
    for _ in range(3):  # whether the next item has reached the process by then is a matter of chance
        with pytest.raises(ValueError, match="is negative"), Workers(1, squaring, name_of, print) as pool:
            list(pool.as_done(range(-500, 0)))


def test_a_killed_worker_is_named_and_one_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_GRACE_S", 0.5)
    stubborn = tmp_path / "stubborn"
    with pytest.raises(WorkerError, match=r"work on .*/mortal was ended by signal 9 \(out of memory\?\)"):  # noqa: SIM117
        with Workers(2, dying, name_of, print) as pool:
            list(pool.as_done([stubborn, tmp_path / "mortal"]))
    assert not psutil.pid_exists(int(stubborn.read_text()))


def lingering(slot: int) -> Callable[[Path, Progress], None]:
    """Get ready to leave a mark and take minutes; the first item is done at once."""

    def work(mark: Path, progress: Progress) -> None:
        mark.write_text(str(os.getpid()))
        if mark.name != "first":
            time.sleep(300)

    return work


def test_work_that_nobody_wants_any_longer_is_stopped_at_once(tmp_path: Path) -> None:
    marks = [tmp_path / "first", tmp_path / "second"]

    def results() -> Generator[None, None, None]:
        with Workers(2, lingering, name_of, print) as pool:
            yield from pool.in_order(marks, 1)

    with pytest.raises(OSError, match="disk full"), closing(results()) as first:
        next(first)
        limit = time.monotonic() + 100
        while not (marks[1].exists() and marks[1].read_text()) and time.monotonic() < limit:
            time.sleep(0.02)
        started = time.monotonic()
        raise OSError("disk full")
    assert time.monotonic() - started < 60
    assert not any(psutil.pid_exists(int(mark.read_text())) for mark in marks)


def dying_at_zero(slot: int) -> Callable[[int, Progress], None]:
    """Get ready to die of item 0."""

    def work(item: int, progress: Progress) -> None:
        if item == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return work


def test_a_death_is_not_blamed_on_the_work_that_waits_behind_it() -> None:
    with (
        pytest.raises(WorkerError, match="work on 0 was ended by signal 9"),
        Workers(1, dying_at_zero, name_of, print) as pool,
    ):
        list(pool.as_done(range(20)))


SLOW_TO_IMPORT = """
import multiprocessing, os, signal, sys, time
from pathlib import Path

if multiprocessing.parent_process() is not None:  # in the worker, which has to import it to be made ready
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(os.environ["MARK"]).write_text(str(os.getpid()))
    time.sleep(300)

def ready(slot):
    return lambda item, progress: None
"""
KILLED_PARENT = """
from firefusion_assets.core.workers import Workers
from slow_to_import import ready

with Workers(1, ready, str, print) as pool:
    list(pool.as_done([1]))
"""


def test_a_worker_whose_parent_is_killed_ends_even_while_it_starts_and_ignores_sigterm(tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW_TO_IMPORT)
    mark = tmp_path / "mark"
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    environment = os.environ | {"MARK": str(mark), "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "-c", KILLED_PARENT], env=environment) as parent:
        limit = time.monotonic() + 100
        while not (mark.exists() and mark.read_text()) and time.monotonic() < limit:
            time.sleep(0.02)
        worker = psutil.Process(int(mark.read_text()))
        parent.kill()
    worker.terminate()
    try:
        worker.wait(60)
    finally:
        if worker.is_running():
            worker.kill()


class TwoArgumentsError(Exception):
    """An error that pickles, and doesn't unpickle."""

    def __init__(self, file: str, line: int) -> None:
        super().__init__(f"{file}, line {line}")


WATCHER = """
import os, sys, time
del os.pidfd_open
from firefusion_assets.core.processes import end_with
end_with(int(sys.argv[1]))
print("watching", flush=True)
time.sleep(300)
"""


def test_where_the_kernel_does_not_tell_of_an_end_it_is_looked_for() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as parent,
        subprocess.Popen([sys.executable, "-c", WATCHER, str(parent.pid)], stdout=subprocess.PIPE, text=True) as child,
    ):
        assert child.stdout is not None and child.stdout.readline() == "watching\n"
        assert child.poll() is None
        parent.kill()  # and is a zombie until it is waited for
        assert child.wait(60) == 1


def raising(slot: int) -> Callable[[int, Progress], None]:
    """Get ready to raise an error that the parent can't read, deaf to a polite end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def work(item: int, progress: Progress) -> None:
        raise TwoArgumentsError("a.tif", 3)

    return work


def test_an_outcome_that_does_not_unpickle_is_not_taken_for_a_kill() -> None:
    with pytest.raises(WorkerError, match=r"(?s)work on 7: its outcome can't be read:.*missing 1 required"):  # noqa: SIM117
        with Workers(1, raising, name_of, print) as pool:
            list(pool.as_done([7]))
