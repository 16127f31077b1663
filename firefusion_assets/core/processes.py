"""What processes that work for another one have in common."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

_LOOK_S: Final = 0.5


def end_with(process: int) -> None:
    """End this process as soon as another one is gone: a killed one can't end its children itself.

    Linux (5.3) tells, so that no time passes between two looks, and a zombie counts as gone.
    """
    if hasattr(os, "pidfd_open"):
        try:
            other = os.pidfd_open(process)
        except ProcessLookupError:
            os._exit(1)
        gone = select.poll()
        gone.register(other, select.POLLIN)
        wait: Callable[[], object] = gone.poll
    else:  # macOS
        wait = partial(_look_for_end_of, process)

    def watch() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _look_for_end_of(process: int) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        other = psutil.Process(process)
        while other.is_running() and other.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_LOOK_S)


def usable_cores() -> int:
    """Return how many cores this process may use; where the system doesn't tell (macOS), all that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ends_held() -> Iterator[list[int]]:
    """Let SIGTERM and Ctrl-C wait while the block runs; yields what has come, which is passed on after the block.

    Only the main thread may say what a signal does; in another one none is held.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    held = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in held]
    try:
        yield came
    finally:
        for held_one, handler in zip(held, before, strict=True):
            signal.signal(held_one, handler)
    for number in came:
        signal.raise_signal(number)
