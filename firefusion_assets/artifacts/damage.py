"""Damage of finished objects: files that aren't what was published, and where damaged objects go."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

DAMAGED: Final = ".damaged"
"""Folder of a store that damaged objects are moved to, for a person to look at."""

_hashes: dict[tuple[int, int, int, int], str] = {}
"""Hash of each file that this process has compared, by device, inode, size and modification time."""


def sha256(path: Path) -> str:
    """Return a file's hash."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_once(path: Path) -> str:
    """Return a file's hash; a process reads an unchanged file once for it."""
    stat = path.stat()
    stamp = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
    if stamp not in _hashes:
        _hashes[stamp] = sha256(path)
    return _hashes[stamp]


def damages(folder: Path, files: Mapping[str, Mapping[str, Any]], contents: bool) -> Iterator[str]:
    """Yield a line for each file of an object that isn't what was published.

    Args:
        folder: of the object.
        files: their sizes and hashes, as the manifest has them.
        contents: compare hashes too and not only sizes.
    """
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != entry["bytes"] or (contents and _read_once(path) != entry["sha256"]):
            yield f"{path}: changed since it was published"


def set_aside(root: Path, path: Path) -> Path | None:
    """Move what is damaged out of a store's way; returns where it went, or None if another process was faster.

    Args:
        root: of the store.
        path: an object's folder, or a pointer, below it.
    """
    (root / DAMAGED).mkdir(parents=True, exist_ok=True)
    target = root / DAMAGED / f"{'-'.join(path.relative_to(root).parts)}-{uuid.uuid4().hex[:8]}"
    try:
        return path.rename(target)
    except FileNotFoundError:
        return None
