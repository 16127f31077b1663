"""The objects that no config of the study uses: found, listed, removed.

In use is, for each key with a YAML file and for what exists once a study,

- the object that the pointer names, current or stale,
- the object that today's settings name, finished or begun,
- of objects without pointers what those were made from: painted chunks that a painted object in use is linked to,
  and the simulated scenes and detector scores that source and report ask the store for.

Everything else can be made again. What a running process makes is left alone, and so is what this module doesn't know.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from firefusion_assets.artifacts.store import MANIFEST, UNPARTITIONED, Artifact, ArtifactStore
from firefusion_assets.lineage.fingerprints import UPSTREAM, Lineage, MissingUpstreamError, pointer_key
from firefusion_assets.study import StudyError, augmentation_keys
from firefusion_assets.study.datasets import SimulatedDataset

_PAINTED, _CHUNKS = "synthetic_images", "painted_chunks"
_SCENES, _SCORES = "simulated_scenes", "detector_scores"
_ASSETS: Final = (*UPSTREAM, _CHUNKS, _SCENES, _SCORES)
_PRUNED: Final = ".pruned"
ALL: Final = "*"
"""Stands for every fingerprint of an asset."""


@dataclass(frozen=True)
class Unused:
    """What no config of a study uses.

    Attributes:
        folders: of objects and of unfinished attempts.
        pointers: files of keys that have no YAML file any more.
    """

    folders: list[Path]
    pointers: list[Path]


def find_unused(lineage: Lineage) -> Unused:
    """Return what a study no longer uses.

    Raises:
        StudyError: if study or configs can't be read: what they use can't be told then.
    """
    try:
        return Unused(unused_folders(lineage), unused_pointers(lineage))
    except StudyError as error:
        raise StudyError([*error.problems, "Mend or remove it first: what it uses can't be told."]) from None


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
        StudyError: if study or configs can't be read: what they use can't be told then.
    """
    root, used = lineage.store.root, _used_objects(lineage)
    folders = [folder for asset in _ASSETS for folder in _folders(root / asset)]
    chunks = [folder for folder in folders if _asset(folder) == _CHUNKS]
    being_made = {folder for folder in folders if _lock_is_held(folder)}
    kept = being_made | {folder for folder in folders if {(_asset(folder), folder.name), (_asset(folder), ALL)} & used}
    kept -= {folder for folder in folders if folder.parent.name == _PRUNED}
    painted = {_inode(file) for folder in kept if _asset(folder) == _PAINTED for file in folder.rglob("chunk-*.npy")}
    kept |= {folder for folder in chunks if any(_inode(file) in painted for file in folder.glob("*.npy"))}
    if any(_asset(folder) == _PAINTED for folder in being_made):
        # A chunk is an object a moment before what is being painted links it.
        kept |= {*chunks}
    return sorted({*folders} - kept)


def unused_pointers(lineage: Lineage) -> list[Path]:
    """Return the pointer files of keys that have no YAML file any more."""
    keys = {*augmentation_keys(lineage.folder), UNPARTITIONED}
    pointers = (pointer for asset in UPSTREAM for pointer in (lineage.store.root / asset).glob("keys/*.json"))
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


class _AskedStore(ArtifactStore):
    """Notes which objects it is asked for, and makes none."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: set[tuple[str, str]] = set()

    def build(
        self,
        asset: str,
        fingerprint: str,
        make: Callable[[Path], Mapping[str, Any]],
        progress: Callable[[str], None] = lambda line: None,
    ) -> Artifact:
        self.asked.add((asset, fingerprint))
        found = self.find(asset, fingerprint)
        if found is None:
            raise MissingUpstreamError(f"{asset}/{fingerprint} has not been made")
        return found


def _used_objects(lineage: Lineage) -> set[tuple[str, str]]:
    """Return asset and fingerprint of what is in use, but for painted chunks; `ALL` for what can't be told apart."""
    keys, problems = augmentation_keys(lineage.folder), list[str]()
    for key in keys:
        try:
            lineage.config(key)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(dict.fromkeys(problems))
    used = set()
    for asset in UPSTREAM:
        for key in {pointer_key(asset, key) for key in keys}:
            if (pointed := lineage.store.pointed(asset, key)) is not None:
                used.add((asset, pointed.fingerprint))
            # The report's object depends on all keys; its pointer names it. Others have no fingerprint before ingest.
            with suppress(MissingUpstreamError):
                if asset != "augmentation_report":
                    used.add((asset, lineage.fingerprint(asset, key)))
    return used | _shared_objects(lineage)


def _shared_objects(lineage: Lineage) -> set[tuple[str, str]]:
    """Return the simulated scenes and detector scores in use: source and report say themselves what they ask for."""
    store = _AskedStore(lineage.store.root)
    asking = Lineage(lineage.folder, store)
    # Where one asks in vain, what it would ask for next isn't known.
    if isinstance(asking.study.dataset, SimulatedDataset) and any(_folders(store.root / _SCENES)):
        from firefusion_assets.ingest.sources.listing import list_source

        try:
            list_source(asking.study, asking.folder, store, lambda line: None)
        except MissingUpstreamError:
            store.asked.add((_SCENES, ALL))
    if any(_folders(store.root / _SCORES)):
        from firefusion_assets.steps.collecting import collect

        try:
            collect(asking)
        except MissingUpstreamError:
            store.asked.add((_SCORES, ALL))
    return store.asked


def _folders(base: Path) -> Iterator[Path]:
    """Yield an asset's objects, unfinished attempts, and what an earlier removal left."""
    yield from (manifest.parent for manifest in base.glob(f"[!.]*/{MANIFEST}"))
    yield from base.glob(".work/*")
    yield from base.glob(f"{_PRUNED}/*")


def _base(folder: Path) -> Path:
    return folder.parent.parent if folder.parent.name.startswith(".") else folder.parent


def _asset(folder: Path) -> str:
    return _base(folder).name


def _lock(folder: Path) -> Path:
    return _base(folder) / ".locks" / folder.name


def _lock_is_held(folder: Path) -> bool:
    if not _lock(folder).exists():
        return False
    try:
        with FileLock(_lock(folder), timeout=0):
            return False
    except Timeout:
        return True


def _inode(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_dev, stat.st_ino


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
