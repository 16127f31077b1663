"""Writing a patch store: a record a patch, then the checksums, the index last.

A store without an index was not finished; readers refuse it. How records get to the disk is in `environment`.
"""

import json
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from firefusion_assets.patchstore.environment import WritableMap
from firefusion_assets.patchstore.records import (
    CHECKSUMS_KEY,
    INDEX_KEY,
    META_KEY,
    Patch,
    Row,
    StoreMeta,
    encode_patch,
    record_key,
)


class PatchWriter:
    """Writes one store, base or overlay; used as a context manager.

    Memory holds one batch of records, whatever the number of patches.

    Args:
        path: folder of the store; what it held before is overwritten.
        meta: what all records have in common.
    """

    def __init__(self, path: Path, meta: StoreMeta) -> None:
        self.meta = meta
        self._map = WritableMap(path)
        self._checksums: dict[str, int] = {}
        self._rows: dict[tuple[str, int | None], Row] = {}

    def add_patch(self, patch_id: str, patch: Patch, fold: int | None = None, replicate: int | None = None) -> None:
        """Add a whole patch; ids of one fold differ, whatever the replicate.

        Raises:
            ValueError: if shapes or types aren't the store's, or the id was added before.
        """
        shape = (len(self.meta.bands), self.meta.patch_size, self.meta.patch_size)
        if patch.bands.shape != shape or patch.bands.dtype != np.uint16:
            raise ValueError(
                f"{patch_id}: bands are {patch.bands.dtype} {patch.bands.shape}, the store holds uint16 {shape}"
            )
        for plane in (patch.label, patch.ignore):
            if plane.shape != shape[1:] or plane.dtype != np.bool_:
                raise ValueError(f"{patch_id}: mask is {plane.dtype} {plane.shape}, the store holds bool {shape[1:]}")
        if (patch_id, fold) in self._rows:
            raise ValueError(f"{patch_id} was already written to this store")
        self._rows[patch_id, fold] = Row(patch_id=patch_id, fold=fold, replicate=replicate, weight=patch.weight)
        self._put(record_key(patch_id, fold), encode_patch(patch))

    def _put(self, key: bytes, record: bytes) -> None:
        self._checksums[key.decode()] = zlib.crc32(record)
        self._map.put(key, record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._put(META_KEY, self.meta.model_dump_json().encode())
                self._put(INDEX_KEY, json.dumps([row.model_dump() for row in self._rows.values()]).encode())
                self._map.put(CHECKSUMS_KEY, json.dumps(self._checksums).encode())
                self._map.publish()
        finally:
            self._map.close()
