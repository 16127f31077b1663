"""Listing and removing the objects that no config of the study uses.

In use is, for each key with a YAML file and for what exists once a study, the object that the pointer names, current or
stale, and the object that today's settings name, finished or begun, with what there is of its pieces; and whatever
these were made from, as their manifests say. What an unfinished attempt uses, or an object that is older than these
records, is unknown: what its step builds on the way is kept then.

Everything else can be made again. What a running process makes is left alone, and so is what this module doesn't know.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from firefusion_assets.artifacts.artifact import ObjectId
from firefusion_assets.artifacts.bucket_store import BucketStore
from firefusion_assets.artifacts.store import MANIFEST, UNPARTITIONED
from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.locks import is_held
from firefusion_assets.lineage.assets import ASSETS, REPORT
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.lineage.pieces import found_pieces
from firefusion_assets.study import StudyError, augmentation_keys

_PRUNED: Final = ".pruned"


@dataclass(frozen=True)
class Unused:
    """What no config of a study uses.

    Attributes:
        folders: of objects and of unfinished attempts.
        pointers: files of keys that no longer have a YAML file.
    """

    folders: list[Path]
    pointers: list[Path]


def find_unused(lineage: Lineage) -> Unused:
    """Return what a study no longer uses.

    Raises:
        StudyError: if study or configs can't be read: what they use is unknown then.
        RequestError: if the objects are in a bucket.
    """
    if isinstance(lineage.store, BucketStore):
        raise RequestError(
            f"{lineage.store.place}: objects of a bucket aren't pruned; remove them with the tools of your cloud. "
            "The cache on this machine keeps within FIREFUSION_CACHE_GB by itself."
        )
    try:
        return Unused(unused_folders(lineage), unused_pointers(lineage))
    except StudyError as error:
        raise StudyError([*error.problems, "Repair or remove it first: what it uses is unknown."]) from None


def listing(lineage: Lineage, unused: Unused) -> str:
    """Write what is unused, when it was made, and what removing it frees."""
    root, freed = lineage.store.root, freed_bytes(unused.folders)
    lines = [f"In {root} no config of {lineage.folder} uses"]
    for folder in unused.folders:
        made = date.fromtimestamp(folder.lstat().st_mtime)
        lines.append(f"  {folder.relative_to(root)}  {made}  {_megabytes(freed[folder])}")
    keys = sorted({pointer.stem for pointer in unused.pointers})
    lines += [f"  the pointers of {key}, which has no YAML file" for key in keys]
    try:
        lineage.fingerprint("landsat_patches", UNPARTITIONED)
    except MissingUpstreamError as error:
        lines.append(f"Only what a key points at counts as used, because {error}")
    return "\n".join([*lines, f"Removing them frees {_megabytes(sum(freed.values()))}."])


def remove_unused(lineage: Lineage, listed: Unused) -> str:
    """Remove what was listed and is still unused; return what that came to.

    Args:
        lineage: read anew, since settings may have changed since the listing.
        listed: what may go.
    """
    still = find_unused(lineage)
    for pointer in set(listed.pointers) & set(still.pointers):
        pointer.unlink()
    folders = [folder for folder in listed.folders if folder in {*still.folders}]
    freed = freed_bytes(folders)
    removed = [folder for folder in folders if remove(folder)]
    return f"Removed {len(removed)} objects, {_megabytes(sum(freed[folder] for folder in removed))}."


def unused_folders(lineage: Lineage) -> list[Path]:
    """Return the folders of objects and of unfinished attempts that nothing uses, sorted.

    Raises:
        StudyError: if study or configs can't be read: what they use is unknown then.
    """
    root = lineage.store.root
    parts = dict.fromkeys(part for asset in ASSETS.values() for part in (*asset.parts, asset.pieces) if part)
    folders = [folder for asset in (*ASSETS, *parts) for folder in _folders(root / asset)]
    being_made = {folder for folder in folders if is_held(_lock(folder))}
    named = _named_objects(lineage) | {_id(folder) for folder in being_made}
    used, untold = _used_objects(lineage, named)
    kept = being_made | {
        folder
        for folder in folders
        # An attempt goes on when its settings are today's, and only then.
        if _id(folder) in (used if (folder / MANIFEST).is_file() else named) or _id(folder)[0] in untold
    }
    kept -= {folder for folder in folders if folder.parent.name == _PRUNED}
    return sorted({*folders} - kept)


def unused_pointers(lineage: Lineage) -> list[Path]:
    """Return the pointer files of keys that no longer have a YAML file."""
    keys = {*augmentation_keys(lineage.folder), UNPARTITIONED}
    pointers = (pointer for asset in ASSETS for pointer in (lineage.store.root / asset).glob("keys/*.json"))
    return [pointer for pointer in pointers if pointer.stem not in keys]


def freed_bytes(folders: Iterable[Path]) -> dict[Path, int]:
    """Return what removing all of some folders frees on disk, by folder.

    A file with several names counts once, for the first folder that holds it, and not at all if a name is left
    elsewhere.
    """
    freed = dict.fromkeys(folders, 0)
    stats = [(folder, path.lstat()) for folder in freed for path in folder.rglob("*") if not path.is_dir()]
    names = Counter((stat.st_dev, stat.st_ino) for _, stat in stats)
    for folder, stat in stats:
        if names.pop((stat.st_dev, stat.st_ino), 0) == stat.st_nlink:
            freed[folder] += stat.st_blocks * 512
    return freed


def remove(folder: Path) -> bool:
    """Remove an object's folder, all of it or nothing; return whether it could be locked."""
    base = _base(folder)
    gone = base / _PRUNED / folder.name
    try:
        with FileLock(_lock(folder), timeout=0):
            if folder != gone:
                # Nobody finds an object in the middle of its removal.
                shutil.rmtree(gone, ignore_errors=True)
                gone.parent.mkdir(exist_ok=True)
                folder.replace(gone)
    except Timeout:
        return False
    shutil.rmtree(gone)
    return True


def _used_objects(lineage: Lineage, named: set[ObjectId]) -> tuple[set[ObjectId], set[str]]:
    """Return the named objects and all that they use, and the assets of which any object may be in use."""
    parts_of = {name: asset.parts for asset in ASSETS.values() for name in (asset.name, asset.pieces)}
    waiting, used, untold = [*named], set[ObjectId](), set[str]()
    while waiting:
        asset, fingerprint = waiting.pop()
        if (asset, fingerprint) in used:
            continue
        used.add((asset, fingerprint))
        found = lineage.store.find(asset, fingerprint)
        if found is not None and found.uses is not None:
            waiting += found.uses
            continue
        is_attempt = (lineage.store.root / asset / ".work" / fingerprint).is_dir() and (asset, fingerprint) in named
        if found is not None or is_attempt:
            untold.update(parts_of.get(asset, ()))
    try:
        lineage.fingerprint("landsat_patches", UNPARTITIONED)
    except MissingUpstreamError:  # what was made for it so far isn't lost
        untold.update(ASSETS["landsat_patches"].parts + ASSETS[REPORT].parts)
    return used, untold


def _named_objects(lineage: Lineage) -> set[ObjectId]:
    """Return the objects that pointers or today's settings name."""
    keys, problems = augmentation_keys(lineage.folder), list[str]()
    for key in keys:
        try:
            lineage.config(key)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(dict.fromkeys(problems))
    named = set[ObjectId]()
    for asset in ASSETS:
        for key in keys:
            if (pointed := lineage.pointed(asset, key)) is not None:
                named.add((asset, pointed.fingerprint))
            # The report's object depends on all keys; its pointer names it. Others have no fingerprint before ingest.
            with suppress(MissingUpstreamError):
                if asset != REPORT:
                    named.add((asset, lineage.fingerprint(asset, key)))
    return named | {piece for asset, fingerprint in named for piece in found_pieces(lineage.store, asset, fingerprint)}


def _folders(base: Path) -> Iterator[Path]:
    """Yield an asset's objects, unfinished attempts, and what an earlier removal left."""
    yield from (manifest.parent for manifest in base.glob(f"[!.]*/{MANIFEST}"))
    yield from base.glob(".work/*")
    yield from base.glob(f"{_PRUNED}/*")


def _base(folder: Path) -> Path:
    return folder.parent.parent if folder.parent.name.startswith(".") else folder.parent


def _id(folder: Path) -> ObjectId:
    return _base(folder).name, folder.name


def _lock(folder: Path) -> Path:
    return _base(folder) / ".locks" / folder.name


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
