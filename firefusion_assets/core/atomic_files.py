"""Writing files so that a kill or a power cut at any moment leaves the old one or the new one, never a half."""

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, flush it to disk and move it into place.

    Args:
        path: the file.
        write: writes to the path that it is given.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    write(partial)
    flush(partial)
    partial.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
