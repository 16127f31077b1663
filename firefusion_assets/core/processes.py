"""What processes that work for another one have in common."""

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def end_with(process: int) -> None:
    """End this process as soon as another one is gone: a killed one can't end its children itself.

    The kernel tells (Linux 5.3), so that no time passes between two looks, and a zombie counts as gone.
    """
    try:
        other = os.pidfd_open(process)
    except ProcessLookupError:
        os._exit(1)
    gone = select.poll()
    gone.register(other, select.POLLIN)

    def watch() -> None:
        gone.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
