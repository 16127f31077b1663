"""Reading patches from a base store and any number of overlays over it.

Stores are opened read-only and without locks, since a published store never changes. So a reader can be sent to
another process, and a forked process reads the map it inherited.
"""

import json
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

import lmdb
import numpy as np
import numpy.typing as npt

from firefusion_assets.core.errors import UserError
from firefusion_assets.core.orientation import turned
from firefusion_assets.patchstore.environment import DATA_FILE
from firefusion_assets.patchstore.records import (
    INDEX_KEY,
    META_KEY,
    SCHEMA_VERSION,
    Patch,
    PatchBatch,
    Row,
    StoreMeta,
    decode_bands,
    decode_planes,
    record_key,
)


class PatchStoreError(UserError, RuntimeError):
    """A store that can't be opened, or doesn't hold what is asked of it."""


class _Map:
    """An open LMDB environment with one read transaction that lives as long as it."""

    def __init__(self, path: Path) -> None:
        try:
            self.env = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
            self.txn = self.env.begin(buffers=True)
        except lmdb.Error as error:
            raise PatchStoreError(f"{path} can't be opened: {error}") from error
        whole = (self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"]
        held = (path / DATA_FILE).stat().st_size
        if held < whole:  # touching a page of the map that the file lacks would kill the process
            raise PatchStoreError(f"{path} is cut short: {DATA_FILE} has {held} bytes, its records take {whole}")


class _Pinned:
    """Lets an array keep the map open that its memory belongs to."""

    def __init__(self, array: npt.NDArray[np.uint16], opened: _Map | None) -> None:
        self.__array_interface__ = array.__array_interface__
        self.opened = opened


_open_maps: "weakref.WeakValueDictionary[Path, _Map]" = weakref.WeakValueDictionary()
"""LMDB refuses to open one environment twice in a process."""


def _open_map(path: Path) -> _Map:
    opened = _open_maps.get(path)
    if opened is None:
        opened = _open_maps[path] = _Map(path)
    return opened


class Store:
    """One LMDB folder; a copy sent to another process opens it again there."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._map: _Map | None = None
        if not (path / DATA_FILE).is_file():
            raise PatchStoreError(f"{path} is not a patch store: it holds no {DATA_FILE}")
        meta, index = (self.get(key) for key in (META_KEY, INDEX_KEY))
        if meta is None or index is None:
            raise PatchStoreError(f"{path} was not finished: it has no index. Remove it and write it again.")
        try:
            version = json.loads(bytes(meta))["schema_version"]
            if version != SCHEMA_VERSION:
                raise PatchStoreError(f"{path} has schema version {version}, this code reads {SCHEMA_VERSION}")
            self.meta = StoreMeta.model_validate_json(bytes(meta))
            self.rows = [Row.model_validate(row) for row in json.loads(bytes(index))]
        except (ValueError, KeyError) as error:
            raise PatchStoreError(f"{path} is damaged: its index can't be read ({error})") from error

    def get(self, key: bytes) -> memoryview | None:
        """Return the record's bytes, valid as long as the store is."""
        if self._map is None:
            self._map = _open_map(self.path)
        try:
            record: memoryview | None = self._map.txn.get(key)
        except lmdb.Error as error:
            raise PatchStoreError(f"{self.path} is damaged: {error}") from error
        return record

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_map": None}

    def bands(self, record: memoryview) -> npt.NDArray[np.uint16]:
        """Return a record's bands, uint16 (C, H, W), as a view that stays valid on its own."""
        view = decode_bands(record, len(self.meta.bands), self.meta.patch_size)
        return np.asarray(_Pinned(view, self._map))


class Patches:
    """The patches of a base store with overlays laid over it, for one replicate of one fold.

    An overlay adds patches. Rows of other folds and replicates are not seen.

    Args:
        base: folder of the base store.
        overlays: folders of overlay stores; later ones win.
        fold: the fold whose overlay rows are read.
        replicate: the replicate whose overlay rows are read.

    Attributes:
        meta: what the records have in common.
        path: folder of the base store.
        base_ids: patches of the base, in store order.
        added_ids: patches that only the overlays hold, in store order.

    Raises:
        PatchStoreError: if a store can't be read, or an overlay doesn't fit the base.
    """

    def __init__(self, base: Path, overlays: Sequence[Path] = (), fold: int = 0, replicate: int = 0) -> None:
        store = Store(base)
        self.meta, self.path = store.meta, store.path
        self._rows: dict[str, tuple[Store, Row]] = {}
        self.base_ids = [row.patch_id for row in store.rows]
        self.added_ids: list[str] = []
        self._add_rows(store, store.rows)
        for path in overlays:
            overlay = Store(path)
            if (overlay.meta.bands, overlay.meta.patch_size) != (self.meta.bands, self.meta.patch_size):
                raise PatchStoreError(
                    f"overlay {path} holds {overlay.meta.bands} at {overlay.meta.patch_size} px, "
                    f"its base {base} {self.meta.bands} at {self.meta.patch_size} px"
                )
            rows = [row for row in overlay.rows if row.fold in (None, fold) and row.replicate in (None, replicate)]
            self.added_ids += [row.patch_id for row in rows]
            self._add_rows(overlay, rows)

    def _add_rows(self, store: Store, rows: Iterable[Row]) -> None:
        self._rows.update((row.patch_id, (store, row)) for row in rows)

    def read(self, patch_id: str) -> Patch:
        """Return one patch; its bands are a view of the map, without a copy.

        Raises:
            PatchStoreError: if no store holds the patch.
        """
        try:
            store, row = self._rows[patch_id]
        except KeyError:
            raise PatchStoreError(f"no store holds patch {patch_id!r}") from None
        record = store.get(record_key(patch_id, row.fold))
        if record is None:
            raise PatchStoreError(f"{store.path} is damaged: its index names {patch_id!r}, its records do not")
        label, ignore = decode_planes(record, self.meta.patch_size)
        return Patch(store.bands(record), label, ignore, row.weight)

    def read_batch(
        self,
        ids: Sequence[str],
        rows: Sequence[int] | None = None,
        turns: Sequence[int] | None = None,
    ) -> PatchBatch:
        """Return several patches in one array each, every band copied once from the map to its place.

        Args:
            ids: the patches; one may come several times.
            rows: rows of the records' bands, in the order wanted (see `StoreMeta.band_rows`); all by default.
            turns: orientation of each patch, 0 to 7 (see `orientation.turned`); as they lie by default.

        Raises:
            PatchStoreError: if no store holds one of the patches.
        """
        n_bands = len(self.meta.bands if rows is None else rows)
        batch = PatchBatch.empty(len(ids), n_bands, self.meta.patch_size)
        for place, patch_id in enumerate(ids):
            bands, label, ignore, weight = self.read(patch_id)
            if turns is not None:
                bands, label, ignore = (turned(array, turns[place]) for array in (bands, label, ignore))
            if rows is None:
                batch.bands[place] = bands
            else:
                for band, row in zip(batch.bands[place], rows, strict=True):
                    band[:] = bands[row]
            batch.label[place], batch.ignore[place], batch.weight[place] = label, ignore, weight
        return batch

    def __len__(self) -> int:
        return len(self._rows)
