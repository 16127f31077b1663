"""The files of one object on their way to a bucket and from it, several side by side.

In a bucket a file is named by its hash, so that whoever uploads an object that another one has published meanwhile
never writes over a file of it, however late.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from firefusion_assets.artifacts.bucket import Bucket
from firefusion_assets.artifacts.damage import sha256
from firefusion_assets.artifacts.store import MANIFEST, ArtifactError
from firefusion_assets.core.folders import below

_AT_ONCE: Final = 8

Hashes = Mapping[str, Mapping[str, Any]]
"""Size (`bytes`) and hash (`sha256`) of each file of an object, by its path in the folder."""


def hashes(manifest: bytes) -> Hashes | None:
    """Return the files that a manifest names; None if it is damaged."""
    try:
        return dict(json.loads(manifest)["files"])
    except (ValueError, KeyError, TypeError):
        return None


def place_of(key: str, entry: Mapping[str, Any]) -> str:
    """Return where a file of an object is in the bucket."""
    return f"{key}/{entry['sha256']}"


def upload(bucket: Bucket, key: str, files: Hashes, folder: Path) -> None:
    """Upload an object's files, and not its manifest.

    Raises:
        BucketError: if the bucket is away.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda name: bucket.write(place_of(key, files[name]), folder / name), files))


def fetch(bucket: Bucket, key: str, files: Hashes, folder: Path) -> None:
    """Fetch an object's files into a folder, which may hold some of an attempt that was killed.

    Raises:
        ArtifactError: if a file arrives damaged twice.
        BucketError: if the bucket is away.
        OSError: if there is no room.
        ValueError: if a name leads out of the folder.
    """

    def fetch_one(name: str) -> None:
        path, entry = below(folder, name), files[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and sha256(path) == entry["sha256"]:
            return
        for _ in range(2):
            if bucket.fetch(place_of(key, entry), path, entry["bytes"]) == entry["sha256"]:
                return
        raise ArtifactError(
            f"{bucket.url}/{place_of(key, entry)}: {name} isn't what was published, fetched twice. Remove "
            f"{key}/{MANIFEST} from the bucket; the object is made again when it is needed"
        )

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fetch_one, files))
