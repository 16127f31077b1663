"""Whether stores still hold what was written to them."""

import json
import zlib
from pathlib import Path

from firefusion_assets.patchstore.reader import PatchStoreError, Store
from firefusion_assets.patchstore.records import CHECKSUMS_KEY


def verify(path: Path) -> list[str]:
    """Read every record of a store; return the keys of those that are damaged or gone, in store order.

    A key is the patch id, behind `fold/` where the row belongs to a fold; the store's own records begin with NUL.

    Args:
        path: folder of the store, base or overlay.

    Raises:
        PatchStoreError: if the store can't be read at all, or was written before checksums were.
    """
    store = Store(path)
    checksums = store.get(CHECKSUMS_KEY)
    if checksums is None:
        raise PatchStoreError(f"{path} holds no checksums: an earlier version wrote it. Write it again to verify it.")
    try:
        expected = json.loads(bytes(checksums))
    except ValueError as error:
        raise PatchStoreError(f"{path} is damaged: its checksums can't be read ({error})") from error
    return [key for key, checksum in expected.items() if not _is_whole(store, key, checksum)]


def _is_whole(store: Store, key: str, checksum: int) -> bool:
    try:
        record = store.get(key.encode())
    except PatchStoreError:  # a page of the tree on the way to the record
        return False
    return record is not None and zlib.crc32(record) == checksum
