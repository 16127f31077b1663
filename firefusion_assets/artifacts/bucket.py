"""A place in a bucket of S3, Google Cloud Storage or Azure: bytes and files under keys, and writes on a condition.

obstore signs and retries. Credentials and endpoint come from the environment, by the names that each cloud's own tools
use; they are no part of a `Bucket`, of what it pickles to, or of an error's message.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import urlsplit

from firefusion_assets.core.errors import UserError

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ObjectStore

_SCHEMES: Final = ("s3", "gs", "az")
_RETRY_S: Final = 120.0
"""For so long a request is tried again before a bucket counts as away."""
_PIECE: Final = 32 * 2**20
"""Bytes that one request fetches, so that no file is too large for a request's time limit of 60 s."""


class BucketError(UserError, RuntimeError):
    """A bucket that can't be read or written; the message names the key."""


class Written(NamedTuple):
    """What stands under a key, its version for a write on condition, and when it was written (s since 1970)."""

    content: bytes
    version: "UpdateVersion"
    modified: float


class Bucket:
    """What is below one prefix of a bucket.

    Args:
        url: `s3://BUCKET/PREFIX`, or with `gs` or `az`.

    Raises:
        BucketError: if the URL names no such place or holds credentials, or if the extra `bucket` isn't installed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        folders = parts.path.strip("/").split("/") if parts.path.strip("/") else []
        if parts.scheme not in _SCHEMES or not parts.netloc or {"", ".", ".."} & {*folders}:
            raise BucketError(f"{_without_secrets(url)}: name a bucket as s3://BUCKET/PREFIX (or gs://, az://)")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise BucketError(
                f"{_without_secrets(url)}: holds more than bucket and prefix; credentials go by the environment alone "
                "(s3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
            )
        try:
            import obstore  # noqa: F401
        except ImportError:
            raise BucketError(f"{url}: install what reads buckets: pip install 'firefusion-assets[bucket]'") from None
        self.url = url.rstrip("/")

    def read(self, key: str) -> bytes | None:
        """Return what stands under a key, or None."""
        written = self.read_version(key)
        return written.content if written else None

    def read_version(self, key: str) -> Written | None:
        """Return what stands under a key with its version, or None."""
        with self._clear_errors(key):
            try:
                result = _client(self.url).get(key)
            except FileNotFoundError:
                return None
            written = result.meta["last_modified"].timestamp()
            return Written(bytes(result.bytes()), _version(result.meta), written)

    def write(self, key: str, content: bytes | Path) -> None:
        """Write bytes, or a file in parts; a kill leaves what stood there before."""
        with self._clear_errors(key):
            _client(self.url).put(key, content)

    def write_if(self, key: str, content: bytes, version: "UpdateVersion | None") -> "UpdateVersion | None":
        """Write if a key still has a version (None: if nothing stands there); return the new version, or None.

        Args:
            key: where.
            content: must differ from all that others write there: a request that is sent twice knows itself by it.
            version: what has to stand there.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._clear_errors(key):
            try:
                return _version(_client(self.url).put(key, content, mode=version or "create", use_multipart=False))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                there = self.read_version(key)
                return there.version if there and there.content == content else None

    def fetch(self, key: str, path: Path, n_bytes: int) -> str:
        """Fetch a file of known size; return its hash (SHA-256)."""
        digest = hashlib.sha256()
        with path.open("wb") as file, self._clear_errors(key):
            for start in range(0, n_bytes, _PIECE):
                piece = _client(self.url).get_range(key, start=start, end=min(start + _PIECE, n_bytes))
                file.write(piece)
                digest.update(piece)
        return digest.hexdigest()

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the keys below a folder, relative to it, with their bytes; an empty name is all of the place."""
        prefix = f"{folder}/" if folder else ""
        with self._clear_errors(prefix):
            return {
                one["path"].removeprefix(prefix): one["size"]
                for page in _client(self.url).list(prefix or None)
                for one in page
            }

    def folders(self) -> list[str]:
        """Return the names of the folders of the place."""
        with self._clear_errors(""):
            return [Path(folder).name for folder in _client(self.url).list_with_delimiter()["common_prefixes"]]

    def remove(self, keys: Iterable[str]) -> None:
        """Remove keys; one that isn't there is no error."""
        names = list(keys)
        if names:
            with self._clear_errors(names[0]):
                _client(self.url).delete(names)

    @contextmanager
    def _clear_errors(self, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if isinstance(error, FileNotFoundError) and error.errno is not None:
                raise  # a local file
            raise BucketError(
                f"{self.url}/{key}: {_without_secrets(str(error))}. Nothing that was made is lost: run again once the "
                "bucket answers"
            ) from None


@cache
def _client(url: str) -> "ObjectStore":
    """Return the client of a place; it holds credentials, so it is nobody's attribute."""
    from obstore.store import from_url

    # Plain HTTP only where the endpoint says so: a server of one's own.
    endpoints = (value for name, value in os.environ.items() if "ENDPOINT" in name)
    insecure = any(value.startswith("http://") for value in endpoints)
    return from_url(
        url,
        client_options={"allow_http": insecure, "timeout": timedelta(seconds=60)},
        retry_config={
            "max_retries": 1000,
            "retry_timeout": timedelta(seconds=_RETRY_S),
            "backoff": {
                "init_backoff": timedelta(milliseconds=200),
                "max_backoff": timedelta(seconds=10),
                "base": 2,
            },
        },
    )


def _version(result: Mapping[str, object]) -> "UpdateVersion":
    """Return what names a version: an ETag, and a generation where the cloud has one."""
    return cast("UpdateVersion", {name: result[name] for name in ("e_tag", "version") if result.get(name)})


def _without_secrets(text: str) -> str:
    """Return the first line of a text without the parts that may hold credentials: an answer's body, a URL's query."""
    line = text.split("\n", 1)[0].split("<", 1)[0].rstrip(": ")
    return re.sub(r"(://)[^/\s]*@", r"\1", re.sub(r"\?\S*", "", line))
