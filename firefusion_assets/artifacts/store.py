"""The artifact store: one folder an object, addressed by what it was made from, finished or not there.

    <root>/<asset>/<fingerprint>/            a finished object, with manifest.json
    <root>/<asset>/keys/<key>.json           points a partition ("_" for an unpartitioned asset) at its object
    <root>/<asset>/.work/<fingerprint>/      an unfinished attempt; a later one goes on there
    <root>/<asset>/.locks/<fingerprint>      held while an object is being made
    <root>/.damaged/                         objects and pointers that turned out damaged

A manifest holds what the object was made from (`uses` and `settings`), what its maker says of it, what it cost, and
size and hash of every file. What an object means is none of the store's business.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from firefusion_assets.artifacts.artifact import Artifact, ObjectId
from firefusion_assets.artifacts.cost import CostMeter
from firefusion_assets.artifacts.damage import damages, set_aside, sha256
from firefusion_assets.artifacts.disk_errors import told_by_disk
from firefusion_assets.artifacts.making import Making, being_made, note_use
from firefusion_assets.core.atomic_files import flush, write_atomically
from firefusion_assets.core.errors import UserError
from firefusion_assets.core.locks import is_held

_LOG = logging.getLogger(__name__)
MANIFEST = "manifest.json"
UNPARTITIONED = "_"
"""Key of an unpartitioned asset's pointer; no slug, so that no config can take it."""


class ArtifactError(UserError, RuntimeError):
    """An object that can't be made, found or trusted."""


class ArtifactStore:
    """Finds and makes objects below one folder.

    Args:
        root: the folder; made when the first object is.

    Attributes:
        damages_found: a line for each object or pointer that was found damaged through this instance.
        made: the objects that were made through this instance.
    """

    verified: ClassVar = "every file is as it was published"
    """What holds if `verify` finds nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.damages_found: list[str] = []
        self.made: set[ObjectId] = set()

    @property
    def place(self) -> str:
        """Where the objects are, as a person names it; `open_store` takes it."""
        return str(self.root)

    def beside(self, name: str) -> "ArtifactStore":
        """Return the store of another name in the same place."""
        return ArtifactStore(self.root.parent / name)

    def find(
        self, asset: str, fingerprint: str, *, whole: bool = False, tell: Callable[[str], None] = _LOG.warning
    ) -> Artifact | None:
        """Return a finished object, or None; costs a look at its manifest.

        Where another object is being made, what is found counts as used by it. What turns out damaged is moved to
        `.damaged`, and is not found.

        Args:
            asset: name of the asset.
            fingerprint: what the object is made from.
            whole: compare every byte with what was published, once a process.
            tell: called with a line on what is damaged.
        """
        folder = self.root / asset / fingerprint
        if not (folder / MANIFEST).is_file():
            return None
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            found = self._described(asset, fingerprint, manifest)
            broken = list(damages(folder, manifest["files"], contents=True)) if whole else []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            broken = [f"{folder / MANIFEST}: can't be read ({error})"]
        if broken:
            self._set_aside(folder, broken, tell)
            return None
        note_use(asset, fingerprint)
        return found

    def _described(self, asset: str, fingerprint: str, manifest: Mapping[str, Any]) -> Artifact:
        """Return the object of a manifest; raises ValueError, KeyError or the like if it is damaged."""
        uses = tuple((name, print_) for name, print_ in manifest["uses"]) if "uses" in manifest else None
        folder, facts, cost = self.root / asset / fingerprint, manifest["facts"], manifest["cost"]
        size = sum(entry["bytes"] for entry in manifest["files"].values())
        return Artifact(asset, fingerprint, folder, facts, cost, uses, manifest.get("settings"), size)

    def _set_aside(self, path: Path, broken: Sequence[str], tell: Callable[[str], None]) -> None:
        where = set_aside(self.root, path)
        if where is not None:
            self.damages_found.append(f"{'; '.join(broken)}. Moved to {where}; it is made again when it is needed")
            tell(self.damages_found[-1])

    def build(
        self,
        asset: str,
        fingerprint: str,
        make: Callable[[Path], Mapping[str, Any]],
        progress: Callable[[str], None] = lambda line: None,
        uses: Iterable[ObjectId] = (),
        settings: Any = None,
    ) -> Artifact:
        """Return the object, made by `make` unless it is finished already.

        Two processes that want one object do the work once: the second waits. A failed or killed attempt leaves
        its work folder, which the next attempt is given again.

        Args:
            asset: name of the asset.
            fingerprint: what the object is made from.
            make: fills the work folder and returns facts (JSON values) for the manifest.
            progress: called with a line when the call has to wait for another process.
            uses: objects that it is made from; what `make` finds or builds in a store is added.
            settings: JSON values that it is made from, for the manifest.

        Raises:
            ArtifactError: if the disk is full or files can't be read back as they were written.
        """
        if (found := self.find(asset, fingerprint, whole=True, tell=progress)) is not None:
            return found
        with self._alone(asset, fingerprint, progress):
            return self.find(asset, fingerprint, whole=True, tell=progress) or self._make(
                asset, fingerprint, make, uses, settings
            )

    @contextmanager
    def _alone(self, asset: str, fingerprint: str, progress: Callable[[str], None]) -> Iterator[None]:
        """Wait until no other process makes the object, and keep others from it."""
        lock = FileLock(_made(self.root / asset / ".locks") / fingerprint)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress(f"another process is making {asset}/{fingerprint}; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _make(
        self,
        asset: str,
        fingerprint: str,
        make: Callable[[Path], Mapping[str, Any]],
        uses: Iterable[ObjectId],
        settings: Any,
    ) -> Artifact:
        target = self.root / asset / fingerprint
        work = _made(self.root / asset / ".work" / fingerprint)
        making = Making(used := set(uses), CostMeter())
        outer = being_made.set(making)
        try:
            facts = dict(make(work))
            cost = making.meter.read()
            manifest: dict[str, Any] = {"facts": facts, "cost": cost, "uses": sorted(used), "settings": settings}
            self._publish(work, target, manifest)
        except UserError:
            raise
        except Exception as error:  # torch's, LMDB's and others' words for a full disk share no class below it
            if (told := told_by_disk(error, work)) is None:
                raise
            raise ArtifactError(
                f"{asset}/{fingerprint} could not be written: {told}. What was published before is intact; "
                f"free space or repair the disk below {self.root} and run again: it goes on from {work}"
            ) from error
        finally:
            being_made.reset(outer)
        self.made.add((asset, fingerprint))
        note_use(asset, fingerprint)
        return self._described(asset, fingerprint, manifest)

    def _publish(self, work: Path, target: Path, manifest: dict[str, Any]) -> None:
        """Verify and flush every file, then move the folder into place with its manifest."""
        for cut_short in work.rglob("*.partial"):
            cut_short.unlink()
        files = sorted(path for path in work.rglob("*") if path.is_file() and path.name != MANIFEST)
        for path in files:
            flush(path)
        manifest["files"] = {
            path.relative_to(work).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
        }
        text = json.dumps(manifest, indent=1, sort_keys=True)
        write_atomically(work / MANIFEST, lambda path: path.write_text(text))
        for folder in [work, *(path for path in work.rglob("*") if path.is_dir())]:
            flush(folder)
        work.replace(target)
        flush(target.parent)

    def being_made(self) -> set[ObjectId]:
        """Return the objects that a living process makes at this moment."""
        begun = ((work.parents[1].name, work.name) for work in self.root.glob("[!.]*/.work/*"))
        return {one for one in begun if is_held(self.root / one[0] / ".locks" / one[1])}

    def point(self, asset: str, key: str, artifact: Artifact) -> None:
        """Point a partition at its object."""
        pointer = _made(self.root / asset / "keys") / f"{key}.json"
        write_atomically(pointer, lambda path: path.write_text(json.dumps({"fingerprint": artifact.fingerprint})))

    def pointed(self, asset: str, key: str) -> Artifact | None:
        """Return the object that a partition points at, or None."""
        pointer = self.root / asset / "keys" / f"{key}.json"
        if not pointer.is_file():
            return None
        try:
            fingerprint = str(json.loads(pointer.read_text())["fingerprint"])
        except (ValueError, KeyError, TypeError) as error:
            self._set_aside(pointer, [f"{pointer}: can't be read ({error})"], _LOG.warning)
            return None
        return self.find(asset, fingerprint)

    def keys(self, asset: str) -> list[str]:
        """Return the keys that have a pointer."""
        return sorted(path.stem for path in (self.root / asset / "keys").glob("*.json"))

    def damages(self, artifact: Artifact, contents: bool) -> list[str]:
        """Return one line for each file of an object that isn't what was published.

        Args:
            artifact: the object.
            contents: compare hashes too and not only sizes; reads every byte.
        """
        files = json.loads((artifact.path / MANIFEST).read_text())["files"]
        return list(damages(artifact.path, files, contents))

    def verify(self, asset: str, fingerprint: str) -> list[str]:
        """Compare every byte of an object with what was published; return a line on what is damaged."""
        broken = list[str]()
        self.find(asset, fingerprint, whole=True, tell=broken.append)
        return broken

    def objects(self) -> Iterator[ObjectId]:
        """Yield all finished objects."""
        for manifest in sorted(self.root.glob(f"[!.]*/[!.]*/{MANIFEST}")):
            yield manifest.parent.parent.name, manifest.parent.name


def link(source: Path, target: Path) -> None:
    """Give a file of another object a second name, without a second copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
