"""Runs of the command that are killed, and what there is of them then."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from firefusion_assets_tests.builders.studies import REPOSITORY

LONGEST_S: Final = 600.0


def started(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, whatever it says unheard."""
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY,
        start_new_session=True,
    )  # fmt: skip


def wait_until(condition: Callable[[], object], run: "subprocess.Popen[bytes]") -> None:
    """Wait until something holds while a run goes on; where it never does, the run is killed."""
    deadline = time.monotonic() + LONGEST_S
    while not condition():
        if run.poll() is not None or time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            raise AssertionError(f"the run ended with {run.poll()}, or went on for too long, before it was disturbed")
        time.sleep(0.02)


def killed_when(condition: Callable[[], object], command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start a command, and kill it alone, not its children, once something holds; wait until all of them are gone."""
    run = started(command, environment)
    wait_until(condition, run)
    kill_and_wait(run)


def kill_and_wait(run: "subprocess.Popen[bytes]") -> None:
    """Kill a run alone, and wait until it and all that it started are gone; what doesn't go is killed, and fails."""
    children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=LONGEST_S)  # a killed process ends as soon as the kernel lets it
    all_gone(children)


def all_gone(processes: Sequence[psutil.Process]) -> None:
    """Wait until processes have ended by themselves; the others are killed, and named."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    names = []
    for process in alive:
        names.append(f"{process.pid} {process.cmdline()}")
        process.kill()
    assert not names


def processes_of(home: Path) -> list[psutil.Process]:
    """Return all processes with this DAGSTER_HOME."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DAGSTER_HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
