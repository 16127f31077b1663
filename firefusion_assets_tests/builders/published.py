"""What a store holds once a lineage has run, for comparison with what another one holds."""

import json
from pathlib import Path
from typing import Any

from firefusion_assets.lineage.assets import REPORT


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


def published(root: Path) -> dict[str, Any]:
    """Return what manifests say of all objects below a store's folder: facts, uses, settings, and hashes of all files.

    Costs are left out; of a report, which tells how long all took, only the names of its files are kept.
    """
    found = {}
    for path in root.glob("[!.]*/[!.]*/manifest.json"):
        manifest = json.loads(path.read_text())
        del manifest["cost"]
        place = path.parent.relative_to(root).as_posix()
        found[place] = sorted(manifest["files"]) if place.startswith(REPORT) else manifest
    return found
