"""An artifact store whose objects are in a bucket: what is read lies in a local cache, and what is made is uploaded.

The bucket is laid out as a folder is (`store.py`), but an object's files are named by their hashes. As in a folder it
is finished once its manifest stands. It is fetched whole, when its `path` is first asked for, and its files are
compared with their hashes on arrival. So whoever only asks whether there is an object, or what its facts are, fetches
its manifest and nothing else.

    <asset>/.locks/<fingerprint>     the lease of the machine that makes the object
    <asset>/.work/<fingerprint>/     a copy of the unfinished attempt, renewed every few minutes
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from filelock import FileLock

from firefusion_assets.artifacts.artifact import Artifact, ObjectId
from firefusion_assets.artifacts.bucket import Bucket, BucketError
from firefusion_assets.artifacts.cache import Cache, cache_root
from firefusion_assets.artifacts.lease import Lease, beats, is_held
from firefusion_assets.artifacts.making import note_use
from firefusion_assets.artifacts.store import MANIFEST, ArtifactError, ArtifactStore
from firefusion_assets.artifacts.transfer import fetch, hashes, upload
from firefusion_assets.artifacts.work_copy import WorkCopy

_LOG = logging.getLogger(__name__)


class BucketStore(ArtifactStore):
    """Finds and makes objects below one prefix of a bucket.

    Args:
        url: `s3://BUCKET/PREFIX`, or with `gs` or `az`.

    Attributes:
        root: the folder of the cache that stands for that place.

    Raises:
        BucketError: if the URL names no such place, or holds credentials.
        RequestError: if the limit of the cache is no number above 0.
    """

    verified: ClassVar = (
        "every file in the bucket has its size, and every file in this machine's cache is as it was published"
    )

    def __init__(self, url: str) -> None:
        self._bucket, self._cache = Bucket(url), Cache(cache_root())
        scheme, bucket, prefix, *_ = urlsplit(self._bucket.url)
        super().__init__(self._cache.root.joinpath(scheme, bucket, *prefix.split("/")))

    @property
    def place(self) -> str:
        """The URL."""
        return self._bucket.url

    def beside(self, name: str) -> "BucketStore":
        """Return the store of another name in the same place."""
        return BucketStore(f"{self._bucket.url.rpartition('/')[0]}/{name}")

    def find(
        self, asset: str, fingerprint: str, *, whole: bool = False, tell: Callable[[str], None] = _LOG.warning
    ) -> Artifact | None:
        """Return a finished object of the cache or the bucket, or None; see `ArtifactStore.find`.

        Raises:
            BucketError: if it isn't in the cache and the bucket is away.
        """
        with suppress(FileNotFoundError):  # another process made room in the cache just now
            if (found := super().find(asset, fingerprint, whole=whole, tell=tell)) is not None:
                return found
        key = f"{asset}/{fingerprint}/{MANIFEST}"
        if (content := self._bucket.read(key)) is None:
            return None
        try:
            found = self._described(asset, fingerprint, json.loads(content))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            tell(f"{self.place}/{key}: can't be read ({error}); the object is made again when it is needed")
            return None
        note_use(asset, fingerprint)
        return found

    def build(
        self,
        asset: str,
        fingerprint: str,
        make: Callable[[Path], Mapping[str, Any]],
        progress: Callable[[str], None] = lambda line: None,
        uses: Iterable[ObjectId] = (),
        settings: Any = None,
    ) -> Artifact:
        """Return the object, made and uploaded unless the bucket has it; see `ArtifactStore.build`.

        Of all machines one makes it. What couldn't be uploaded stays in the cache, and the next call uploads it.

        Raises:
            ArtifactError: if it can't be made or uploaded.
        """
        artifact = super().build(asset, fingerprint, make, progress, uses, settings)
        while self._is_here(artifact) and not self._cache.is_kept(artifact.folder):
            with self._alone(asset, fingerprint, progress):
                self._upload(artifact)
            artifact = self.find(asset, fingerprint) or artifact
        return artifact

    def being_made(self) -> set[ObjectId]:
        """Return the objects that some machine makes at this moment, as far as leases tell."""
        there = ((asset, name) for asset in self._bucket.folders() for name in self._bucket.sizes(f"{asset}/.locks"))
        return {one for one in there if beats(self._bucket, _lease(*one))}

    def point(self, asset: str, key: str, artifact: Artifact) -> None:
        """Point a partition at its object."""
        self._bucket.write(_pointer(asset, key), json.dumps({"fingerprint": artifact.fingerprint}).encode())

    def pointed(self, asset: str, key: str) -> Artifact | None:
        """Return the object that a partition points at, or None."""
        if (content := self._bucket.read(_pointer(asset, key))) is None:
            return None
        try:
            fingerprint = str(json.loads(content)["fingerprint"])
        except (ValueError, KeyError, TypeError) as error:
            _LOG.warning("%s/%s: can't be read (%s)", self.place, _pointer(asset, key), error)
            return None
        return self.find(asset, fingerprint)

    def keys(self, asset: str) -> list[str]:
        """Return the keys that have a pointer."""
        return sorted(Path(name).stem for name in self._bucket.sizes(f"{asset}/keys"))

    def objects(self) -> Iterator[ObjectId]:
        """Yield all finished objects of the bucket, and those of the cache that aren't uploaded yet."""
        paths = (key.split("/") for key in self._bucket.sizes(""))
        there = {(path[0], path[1]) for path in paths if len(path) == 3 and path[2] == MANIFEST}
        yield from sorted(there | {*super().objects()})

    def verify(self, asset: str, fingerprint: str) -> list[str]:
        """Compare an object's files of the cache with what was published, and sizes of those in the bucket.

        What is damaged in the bucket is no longer found there; the next run makes it, or uploads it from the cache.
        """
        broken, key = super().verify(asset, fingerprint), f"{asset}/{fingerprint}"
        if (manifest := self._bucket.read(f"{key}/{MANIFEST}")) is not None:
            files, sizes = hashes(manifest), self._bucket.sizes(key)
            wrong = [name for name, entry in (files or {}).items() if sizes.get(entry["sha256"]) != entry["bytes"]]
            if wrong or files is None:
                self._bucket.remove([f"{key}/{MANIFEST}"])
                self._cache.forget(self.root / asset / fingerprint)
            broken += [f"{self.place}/{key}/{name}: isn't as it was published" for name in wrong]
        return broken

    def _described(self, asset: str, fingerprint: str, manifest: Mapping[str, Any]) -> Artifact:
        return replace(super()._described(asset, fingerprint, manifest), fetch=self._fetch)

    @contextmanager
    def _alone(self, asset: str, fingerprint: str, progress: Callable[[str], None]) -> Iterator[None]:
        with (
            super()._alone(asset, fingerprint, progress),
            Lease(self._bucket, _lease(asset, fingerprint), self._cache.holder(), progress),
        ):
            yield

    def _make(
        self,
        asset: str,
        fingerprint: str,
        make: Callable[[Path], Mapping[str, Any]],
        uses: Iterable[ObjectId],
        settings: Any,
    ) -> Artifact:
        def copied_make(work: Path) -> Mapping[str, Any]:
            copy = self._work_copy(asset, fingerprint)
            copy.restore(work)
            with copy.renewed(work):
                return make(work)

        self._cache.forget(self.root / asset / fingerprint)  # it was there, and is damaged here and gone there
        artifact = super()._make(asset, fingerprint, copied_make, uses, settings)
        self._upload(artifact)
        return artifact

    def _work_copy(self, asset: str, fingerprint: str) -> WorkCopy:
        return WorkCopy(self._bucket, f"{asset}/.work/{fingerprint}", self._cache.holder())

    def _upload(self, artifact: Artifact) -> None:
        """Upload an object's files, then its manifest. Whoever has lost the lease leaves it to the next."""
        asset, fingerprint, folder = artifact.asset, artifact.fingerprint, artifact.folder
        key, files = f"{asset}/{fingerprint}", json.loads((folder / MANIFEST).read_text())["files"]
        try:
            manifest = self._bucket.read_version(f"{key}/{MANIFEST}")
            there = hashes(manifest.content) if manifest else None
            if there is None:
                upload(self._bucket, key, files, folder)
                if not is_held(self._bucket, _lease(asset, fingerprint), self._cache.holder()):
                    return
                # On the condition that none came meanwhile: this process may have stood still since it looked.
                own, seen = (folder / MANIFEST).read_bytes(), manifest.version if manifest else None
                if self._bucket.write_if(f"{key}/{MANIFEST}", own, seen) is None:
                    return
            self._work_copy(asset, fingerprint).remove()
            if there is not None and there != files:
                self._set_aside(folder, [f"{folder}: another machine published other bytes first"], _LOG.warning)
                return
        except BucketError as error:
            raise ArtifactError(f"{error}\nWhat was made is in {folder}; run again to upload it") from error
        n_bytes = sum(entry["bytes"] for entry in files.values())
        self._cache.make_room(n_bytes)
        self._cache.keep(folder, n_bytes)

    def _is_here(self, artifact: Artifact) -> bool:
        return (artifact.folder / MANIFEST).is_file()

    def _fetch(self, artifact: Artifact) -> None:
        """Bring an object to the cache unless it is there; it stays there while this process lives.

        Raises:
            ArtifactError: if it arrives damaged twice, or there is no room for it.
            BucketError: if the bucket is away.
        """
        self._cache.use(artifact.folder)
        if self._is_here(artifact):
            return
        base = self.root / artifact.asset
        (base / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(base / ".locks" / artifact.fingerprint):
            if not self._is_here(artifact):
                try:
                    self._fetch_files(artifact, base / ".fetched" / artifact.fingerprint)
                except OSError as error:
                    raise ArtifactError(f"{artifact.folder}: can't be fetched: {error}") from error

    def _fetch_files(self, artifact: Artifact, arrived: Path) -> None:
        key = f"{artifact.asset}/{artifact.fingerprint}"
        manifest = self._bucket.read_version(f"{key}/{MANIFEST}")
        files = hashes(manifest.content) if manifest else None
        if manifest is None or files is None:
            raise ArtifactError(f"{self.place}/{key}: was removed from the bucket meanwhile; run again to make it")
        n_bytes = sum(entry["bytes"] for entry in files.values())
        self._cache.make_room(n_bytes)
        fetch(self._bucket, key, files, arrived)
        (arrived / MANIFEST).write_bytes(manifest.content)
        os.utime(arrived / MANIFEST, (manifest.modified, manifest.modified))  # it tells when the object was made
        shutil.rmtree(artifact.folder, ignore_errors=True)
        arrived.rename(artifact.folder)
        self._cache.keep(artifact.folder, n_bytes)


def open_store(place: str | os.PathLike[str]) -> ArtifactStore:
    """Return the store in a folder or a bucket; see `ArtifactStore.place`."""
    text = os.fspath(place)
    return BucketStore(text) if "://" in text else ArtifactStore(Path(text).resolve())


def _pointer(asset: str, key: str) -> str:
    return f"{asset}/keys/{key}.json"


def _lease(asset: str, fingerprint: str) -> str:
    return f"{asset}/.locks/{fingerprint}"
