"""A copy of an unfinished object in a bucket, renewed every few minutes, so that another machine can go on with it.

    <key>/<sha256>     a file
    <key>/index.json   names the files of the last whole copy, and who made it; written last

What a copy holds was there at one moment: files are given second names first, so that one that is replaced meanwhile
stays as it was, and a copy of which a file was changed in place is dropped.
"""

import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from firefusion_assets.artifacts.bucket import Bucket, BucketError
from firefusion_assets.artifacts.damage import sha256
from firefusion_assets.core.folders import below

_LOG = logging.getLogger(__name__)
_EVERY_S: Final = 180.0
_INDEX: Final = "index.json"

_Stamp = tuple[int, int, int]


class WorkCopy:
    """The copy of one work folder.

    Args:
        bucket: where it is.
        key: of the copy.
        holder: this machine's name in leases.
    """

    def __init__(self, bucket: Bucket, key: str, holder: str) -> None:
        self._bucket, self._key, self._holder = bucket, key, holder
        self._hashes: dict[_Stamp, str] = {}
        self._ended = threading.Event()

    def restore(self, work: Path) -> None:
        """Fill a work folder with the last copy, unless what is there comes from this machine and is as new.

        A copy that is damaged is not used; the work begins anew then.
        """
        index = self._index()
        if index is None or (index["holder"] == self._holder and any(work.iterdir())):
            return
        fetched = work.with_name(f"{work.name}.fetched")
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir()
        for name, entry in index["files"].items():
            path = below(fetched, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._bucket.fetch(f"{self._key}/{entry['sha256']}", path, entry["bytes"]) != entry["sha256"]:
                _LOG.warning("%s/%s: damaged, so it begins anew", self._bucket.url, self._key)
                shutil.rmtree(fetched)
                return
        shutil.rmtree(work)
        fetched.rename(work)

    @contextmanager
    def renewed(self, work: Path) -> Iterator[None]:
        """Renew the copy every few minutes while in the context; a bucket that is away stops nothing."""

        def renew() -> None:
            while not self._ended.wait(_EVERY_S):
                try:
                    self.renew(work)
                except (BucketError, OSError) as error:
                    _LOG.warning("%s: not copied this time: %s", work, error)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def renew(self, work: Path) -> bool:
        """Copy what has changed; return whether the copy is whole and the last one now."""
        frozen = work.with_name(f"{work.name}.frozen")
        shutil.rmtree(frozen, ignore_errors=True)
        try:
            before = _stamps(work)
            for name in before:
                (frozen / name).parent.mkdir(parents=True, exist_ok=True)
                (frozen / name).hardlink_to(work / name)
            if not before or _stamps(work) != before:
                return False
            files = {name: self._entry(frozen / name, stamp) for name, stamp in before.items()}
            there = self._bucket.sizes(self._key)
            wanted = {entry["sha256"]: name for name, entry in files.items()}
            for digest, name in wanted.items():
                # Looked at before each: a store that grows in place isn't sent to be dropped at the end.
                if self._ended.is_set() or _stamps(frozen) != before:
                    return False
                if there.get(digest) != files[name]["bytes"]:
                    self._bucket.write(f"{self._key}/{digest}", frozen / name)
            if _stamps(frozen) != before:
                return False
        except FileNotFoundError:
            return False  # files come and go just now
        finally:
            shutil.rmtree(frozen, ignore_errors=True)
        index = {"holder": self._holder, "files": files}
        self._bucket.write(f"{self._key}/{_INDEX}", json.dumps(index).encode())
        self._bucket.remove(f"{self._key}/{name}" for name in there if name not in wanted and name != _INDEX)
        return True

    def remove(self) -> None:
        """Remove the copy."""
        self._bucket.remove(f"{self._key}/{name}" for name in self._bucket.sizes(self._key))

    def _index(self) -> dict[str, Any] | None:
        content = self._bucket.read(f"{self._key}/{_INDEX}")
        try:
            return None if content is None else dict(json.loads(content))
        except (ValueError, TypeError):
            return None

    def _entry(self, path: Path, stamp: _Stamp) -> dict[str, Any]:
        if stamp not in self._hashes:
            self._hashes[stamp] = sha256(path)
        return {"bytes": stamp[1], "sha256": self._hashes[stamp]}


def _stamps(folder: Path) -> dict[str, _Stamp]:
    """Return inode, size and modification time of each file; those that are being written under another name not."""
    stamps = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink() and path.suffix != ".partial":
                stat = path.stat()
                stamps[path.relative_to(folder).as_posix()] = stat.st_ino, stat.st_size, stat.st_mtime_ns
    return stamps
