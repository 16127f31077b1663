"""Hashes: of JSON values, and of large files outside the store, remembered by size and modification time."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.folders import files_below


def digest(value: Any) -> str:
    """Return a short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:20]


def folder_hash(folder: Path, memory: Path) -> str:
    """Return a hash of the names and contents of a folder's files, through links too, hidden ones left out.

    Args:
        folder: what to hash.
        memory: JSON file that keeps the hashes of unchanged files.
    """
    known: dict[str, list[str]] = json.loads(memory.read_text()) if memory.is_file() else {}
    hashes = {}
    for path in files_below(folder):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        stat = path.stat()
        stamp = f"{stat.st_size}-{stat.st_mtime_ns}"
        remembered = known.get(str(path))
        if remembered is None or remembered[0] != stamp:
            with path.open("rb") as file:
                remembered = [stamp, hashlib.file_digest(file, "sha256").hexdigest()]
            memory.parent.mkdir(parents=True, exist_ok=True)
            known[str(path)] = remembered
            write_atomically(memory, partial(Path.write_text, data=json.dumps(known, indent=1)))
        hashes[name.as_posix()] = remembered[1]
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
