"""A lease in a bucket: of all machines one makes an object, and one that dies is followed by another.

A lease is a small file that names its holder and changes with every beat, written on the condition that it is still
what the writer last saw. Nobody compares clocks: who waits takes over when a lease hasn't changed for LEASE_S of its
own time.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from firefusion_assets.artifacts.bucket import Bucket, BucketError

if TYPE_CHECKING:
    from obstore import UpdateVersion

_LOG = logging.getLogger(__name__)
LEASE_S: Final = 120.0
"""A lease that doesn't change for so long has lost its holder."""
_BEAT_S: Final = 30.0
_LOOK_S: Final = 2.0


class Lease:
    """Held while in its context, which waits until it is free.

    Args:
        bucket: where it is.
        key: its name there.
        holder: who asks. A lease of the same holder is taken over at once: that process is dead, since processes of one
            holder keep each other out by locks.
        progress: called with a line when there is waiting to do.
    """

    def __init__(self, bucket: Bucket, key: str, holder: str, progress: Callable[[str], None]) -> None:
        self._bucket, self._key, self._holder, self._progress = bucket, key, holder, progress
        self._session = uuid.uuid4().hex
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        version = self._acquired()
        self._thread = threading.Thread(target=self._keep, args=[version], daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        try:
            content = self._bucket.read(self._key)
            if content is not None and _named(content, "session") == self._session:
                self._bucket.remove([self._key])
        except BucketError as error:
            _LOG.warning("%s; the lease ends by itself in %.0f s", error, LEASE_S)

    def _acquired(self) -> "UpdateVersion":
        seen, since, told = b"", time.monotonic(), False
        while True:
            there = self._bucket.read_version(self._key)
            if there is None:
                free = True
            else:
                if there.content != seen:
                    seen, since = there.content, time.monotonic()
                free = _named(seen, "holder") == self._holder or time.monotonic() - since > LEASE_S
            if free and (version := self._bucket.write_if(self._key, self._beat(), there and there.version)):
                return version
            if not free and not told:
                self._progress(f"another machine is making {self._key}; waiting for it")
                told = True
            time.sleep(_LOOK_S)

    def _keep(self, version: "UpdateVersion") -> None:
        while not self._ended.wait(_BEAT_S):
            try:
                renewed = self._bucket.write_if(self._key, self._beat(), version)
                if renewed is None:  # an earlier beat may have arrived though its answer was lost
                    there = self._bucket.read_version(self._key)
                    if there is None or _named(there.content, "session") != self._session:
                        _LOG.warning("%s/%s: another machine has taken over", self._bucket.url, self._key)
                        return
                    renewed = there.version
                version = renewed
            except BucketError as error:
                _LOG.warning("%s", error)

    def _beat(self) -> bytes:
        return json.dumps({"holder": self._holder, "session": self._session, "beat": uuid.uuid4().hex}).encode()


def beats(bucket: Bucket, key: str) -> bool:
    """Whether a lease was renewed lately, by this machine's clock: for people to see, and not to act upon."""
    there = bucket.read_version(key)
    return there is not None and time.time() - there.modified < LEASE_S


def is_held(bucket: Bucket, key: str, holder: str) -> bool:
    """Whether a lease is still this holder's."""
    content = bucket.read(key)
    return content is not None and _named(content, "holder") == holder


def _named(content: bytes, name: str) -> str | None:
    """Return a value of a lease; None if it can't be read, so that it is no one's and expires."""
    try:
        value = json.loads(content)[name]
    except (ValueError, KeyError, TypeError):
        return None
    return str(value)
