"""What processes that work for another one have in common."""

import os
import threading
import time
from typing import Final

import psutil

_PARENT_CHECK_S: Final = 1.0


def end_with(process: int) -> None:
    """End this process as soon as another one is gone: a killed one can't end its children itself."""

    def watch() -> None:
        while _runs(process):
            time.sleep(_PARENT_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _runs(process: int) -> bool:
    """Tell whether a process runs; one that was killed may be listed for long, until its own parent takes notice."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
