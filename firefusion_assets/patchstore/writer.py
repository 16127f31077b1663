"""Writing a patch store: batches of patches a transaction, a map that grows, the index last.

A store without an index was not finished; readers refuse it.
"""

import errno
import json
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb
import numpy as np
import numpy.typing as npt

from firefusion_assets.patchstore.records import (
    INDEX_KEY,
    META_KEY,
    Patch,
    Row,
    StoreMeta,
    encode_patch,
    encode_planes,
)

_BATCH = 64
_FIRST_MAP_SIZE = 64 * 2**20


class PatchWriter:
    """Writes one store, base or overlay; used as a context manager.

    Memory holds one batch of records, whatever the number of patches.

    Args:
        path: folder of the store; what it held before is overwritten.
        meta: what all records have in common.
    """

    def __init__(self, path: Path, meta: StoreMeta) -> None:
        path.mkdir(parents=True, exist_ok=True)
        for old in path.glob("*.mdb"):
            old.unlink()
        self.meta = meta
        self._env = lmdb.open(str(path), map_size=_FIRST_MAP_SIZE, readahead=False, meminit=False)
        self._pending: list[tuple[bytes, bytes]] = []
        self._rows: dict[tuple[str, int | None], Row] = {}

    def add_patch(self, patch_id: str, patch: Patch, fold: int | None = None) -> None:
        """Add a whole patch.

        Raises:
            ValueError: if shapes or types aren't the store's, or the id was added before.
        """
        shape = (len(self.meta.bands), self.meta.patch_size, self.meta.patch_size)
        if patch.bands.shape != shape or patch.bands.dtype != np.uint16:
            raise ValueError(
                f"{patch_id}: bands are {patch.bands.dtype} {patch.bands.shape}, the store holds uint16 {shape}"
            )
        self._check_planes(patch_id, patch.label, patch.ignore)
        self._add(Row(patch_id=patch_id, fold=fold, weight=patch.weight), encode_patch(patch))

    def add_label(
        self,
        patch_id: str,
        label: npt.NDArray[np.bool_],
        ignore: npt.NDArray[np.bool_],
        fold: int | None = None,
    ) -> None:
        """Add another label, bool (H, W), and ignore, bool (H, W), for a patch of the base."""
        self._check_planes(patch_id, label, ignore)
        self._add(Row(patch_id=patch_id, kind="label", fold=fold), encode_planes(label, ignore))

    def add_weight(self, patch_id: str, weight: float, fold: int | None = None) -> None:
        """Add another weight for a patch of the base."""
        self._add(Row(patch_id=patch_id, kind="weight", fold=fold, weight=weight), None)

    def _check_planes(self, patch_id: str, *planes: npt.NDArray[np.bool_]) -> None:
        shape = (self.meta.patch_size, self.meta.patch_size)
        for plane in planes:
            if plane.shape != shape or plane.dtype != np.bool_:
                raise ValueError(f"{patch_id}: mask is {plane.dtype} {plane.shape}, the store holds bool {shape}")

    def _add(self, row: Row, record: bytes | None) -> None:
        key = (row.patch_id, row.fold)
        if key in self._rows:
            raise ValueError(f"{row.patch_id} was already written to this store")
        self._rows[key] = row
        if record is not None:
            self._pending.append((record_key(row.patch_id, row.fold), record))
        if len(self._pending) >= _BATCH:
            self._commit()

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
            except lmdb.Error as error:  # LMDB has no number for a full disk of its own
                raise OSError(errno.EIO, f"patch store {self._env.path()} could not be written: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            index = [row.model_dump() for row in self._rows.values()]
            self._pending.append((META_KEY, self.meta.model_dump_json().encode()))
            self._pending.append((INDEX_KEY, json.dumps(index).encode()))
            self._commit()
            self._env.sync(True)
        self._env.close()


def record_key(patch_id: str, fold: int | None) -> bytes:
    """Return the key of a record: the patch id, behind the fold where the row belongs to one."""
    return (patch_id if fold is None else f"{fold}/{patch_id}").encode()
