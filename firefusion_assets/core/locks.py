"""Lock files: what they keep apart is freed with the process that holds them, as the kernel lets go of them."""

from pathlib import Path

from filelock import FileLock, Timeout


def is_held(lock: Path) -> bool:
    """Tell whether a process holds a lock file."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
