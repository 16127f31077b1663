"""Disks that fill up or can't be written, mounted for a test; it is skipped where nothing can be mounted."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Yield a folder on a disk of its own."""
    folder.mkdir(parents=True)
    with _mounted("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder):
        yield folder


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody, not even root, write a folder."""
    with _mounted("--bind", "-o", "ro", folder, folder):
        yield


@contextmanager
def _mounted(*arguments: str | Path) -> Iterator[None]:
    try:
        mounted = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if mounted.returncode != 0:
        pytest.skip(f"needs root, to mount a disk: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", arguments[-1]], check=True)


def fill(disk: Path, n_left: int = 0) -> Path:
    """Fill a disk but for some bytes, whole pages; return the file that does."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for n_bytes in (2**20, 4096):
            try:
                while file.write(bytes(n_bytes)) == n_bytes:
                    pass
            except OSError:
                continue
        file.truncate(max(0, file.tell() - n_left))
    return filler
