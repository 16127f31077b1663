"""What is published below a folder of objects."""

import json
from pathlib import Path
from typing import Any


def objects(root: Path) -> dict[str, Any]:
    """Return the contents of all objects below a folder, but for what they cost."""
    found: dict[str, Any] = {}
    for manifest in root.glob("[!.]*/[!.]*/manifest.json"):
        for path in (path for path in manifest.parent.rglob("*") if path.is_file() and path.name != "lock.mdb"):
            name = path.relative_to(root).as_posix()
            content = json.loads(path.read_text()) if path == manifest else path.read_bytes()
            if path == manifest:
                del content["cost"]
            found[name] = content
    return found
