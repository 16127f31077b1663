"""Writing one LMDB environment: batches of records a transaction, a map that grows, published when it is whole.

What the records mean belongs to who writes them.
"""

import errno
import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import psutil

from firefusion_assets.core.atomic_files import write_atomically

DATA_FILE = "data.mdb"
_BATCH = 64
_FIRST_MAP_SIZE = 64 * 2**20
# fmt: off
_SHARED = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "panfs", "pvfs2",
    "smb3", "smbfs", "sshfs", "wekafs",
})
# fmt: on
"""File systems that come over a network; those in user space have `fuse.` before the name."""


class WritableMap:
    """An LMDB environment that one process writes; memory holds one batch of records.

    LMDB writes through a map of the file, which network file systems don't keep coherent, and syncs it at random
    places, which they are slow at. So there the file is written to the system's temporary folder (TMPDIR) and then
    copied in one go. No lock file is made: a store has one writer, and readers come when it is published.

    Args:
        path: its folder; what it held before is removed.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        for old in path.glob("*.mdb"):
            old.unlink()
        self.path = path
        self._local = TemporaryDirectory(prefix="patchstore-") if is_shared(path) else None
        self._folder = Path(self._local.name) if self._local else path
        # What isn't published is written again, so that only the end has to reach the disk. Pages are cleared before
        # use (meminit, LMDB's default): without that the gaps between records hold whatever was in memory.
        self._env = lmdb.open(str(self._folder), map_size=_FIRST_MAP_SIZE, readahead=False, lock=False, sync=False)
        self._pending: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes, record: bytes) -> None:
        """Add a record.

        Raises:
            OSError: if the disk is full or fails.
        """
        self._pending.append((key, record))
        if len(self._pending) >= _BATCH:
            self._commit()

    def publish(self) -> None:
        """Bring all records to disk, and to the folder they are meant for.

        Raises:
            OSError: if the disk is full or fails.
        """
        self._commit()
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            raise self._failed(error) from error
        self._env.close()
        if self._local:
            write_atomically(self.path / DATA_FILE, partial(shutil.copyfile, self._folder / DATA_FILE))

    def close(self) -> None:
        """Let go of the environment; what was not published is lost."""
        self._env.close()
        if self._local:
            self._local.cleanup()

    def _commit(self) -> None:
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, record in self._pending:
                        transaction.put(key, record)
                self._pending.clear()
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except lmdb.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: lmdb.Error) -> OSError:
        where = f" in {self._folder} (TMPDIR chooses the disk)" if self._local else ""
        # LMDB has no number for a full disk of its own
        return OSError(errno.EIO, f"patch store {self.path} could not be written{where}: {error}")


def is_shared(path: Path) -> bool:
    """Tell whether a folder lies on a file system that other machines may share."""
    types = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    resolved = path.resolve()
    nearest = next((types[folder] for folder in (resolved, *resolved.parents) if folder in types), "")
    return nearest.removeprefix("fuse.") in _SHARED
