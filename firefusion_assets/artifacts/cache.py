"""The local folder that holds what was fetched from buckets, and its limit.

    <root>/<scheme>/<bucket>/<prefix>/...   a store's objects, as `store.py` lays them out
    <root>/.kept/<path of an object>        its bytes; exists for an object that is in the bucket too, so may go
    <root>/.bytes                           of all that may go, at most: counted anew when it is over the limit
    <root>/.users/<id>                      objects that a process reads; locked while it lives

Of what may go and no living process reads, the object that was used longest ago goes first. What isn't in the bucket
yet never goes.
"""

import fcntl
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Final

from filelock import FileLock

from firefusion_assets.core.errors import RequestError

_DEFAULT_GB: Final = 50.0


class Cache:
    """The cache of this machine.

    Args:
        root: its folder.

    Raises:
        RequestError: if its limit is no number above 0.
    """

    def __init__(self, root: Path) -> None:
        self.root, self._limit = root, cache_limit()

    def holder(self) -> str:
        """Return a name for all processes that share this folder and keep each other out by its locks."""
        file = self.root / ".holder"
        with self._locked():
            if not file.is_file():
                file.write_text(uuid.uuid4().hex)
            return f"{socket.gethostname()}-{file.read_text()}"

    def use(self, folder: Path) -> None:
        """Note that this process reads an object: it stays for as long as the process lives."""
        name = self._name(folder)
        file, used = _used_here(self.root)
        if name in used:
            return
        with self._locked():
            file.write(f"{name}\n")
            file.flush()
            used.add(name)
            if (mark := self._mark(folder)).is_file():
                os.utime(mark)

    def keep(self, folder: Path, n_bytes: int) -> None:
        """Note that an object is here and in the bucket."""
        mark = self._mark(folder)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(str(n_bytes))

    def forget(self, folder: Path) -> None:
        """Take back that an object is in the bucket."""
        self._mark(folder).unlink(missing_ok=True)

    def is_kept(self, folder: Path) -> bool:
        """Whether an object is in the bucket, as far as this machine knows."""
        return self._mark(folder).is_file()

    def make_room(self, n_bytes: int) -> None:
        """Remove objects until so many bytes more are within the limit, as far as others aren't being read."""
        gone, count = self.root / ".gone" / uuid.uuid4().hex, self.root / ".bytes"
        with self._locked():
            counted = int(count.read_text()) if count.is_file() else 0
            if counted + n_bytes <= self._limit:
                count.write_text(str(counted + n_bytes))
                return
            marks = sorted((mark.stat().st_mtime_ns, mark) for mark in self._marks())
            sizes = {mark: int(mark.read_text()) for _, mark in marks}
            total, used = sum(sizes.values()) + n_bytes, self._used()
            for _, mark in marks:
                name = mark.relative_to(self.root / ".kept").as_posix()
                if total > self._limit and name not in used:
                    gone.mkdir(parents=True, exist_ok=True)
                    if (self.root / name).is_dir():
                        (self.root / name).rename(gone / uuid.uuid4().hex)
                    mark.unlink()
                    total -= sizes[mark]
            count.write_text(str(total))
        shutil.rmtree(gone.parent, ignore_errors=True)

    def _used(self) -> set[str]:
        """Return what living processes read; forget the others."""
        names = set()
        for path in (self.root / ".users").glob("*"):
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                except BlockingIOError:
                    names.update(file.read().splitlines())
        return names

    def _marks(self) -> Iterator[Path]:
        return (path for path in (self.root / ".kept").rglob("*") if path.is_file())

    def _mark(self, folder: Path) -> Path:
        return self.root / ".kept" / self._name(folder)

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self.root).as_posix()

    def _locked(self) -> FileLock:
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / ".lock")


@cache
def _used_here(root: Path) -> tuple[IO[str], set[str]]:
    """Return the file in which this process notes what it reads, and what it has noted."""
    (root / ".users").mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):  # else it could be taken for a dead process's before it is locked
        file = (root / ".users" / uuid.uuid4().hex).open("a")
        fcntl.flock(file, fcntl.LOCK_EX)
    return file, set()


def cache_root() -> Path:
    """Return where the cache is: FIREFUSION_CACHE, by default `firefusion` in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FIREFUSION_CACHE") or Path(user) / "firefusion").resolve()


def cache_limit() -> float:
    """Return the cache's limit in bytes: FIREFUSION_CACHE_GB, 50 by default.

    Raises:
        RequestError: if it is no number above 0.
    """
    text = os.environ.get("FIREFUSION_CACHE_GB") or str(_DEFAULT_GB)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = 0.0
    if not gigabytes > 0:
        raise RequestError(f"FIREFUSION_CACHE_GB: {text!r} is no number above 0")
    return gigabytes * 1e9
