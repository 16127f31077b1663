"""What a disk said where something couldn't be written: libraries tell it in ways of their own."""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

_NUMBERS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_NO_SPACE: Final = 2**20
"""Bytes below which a disk counts as full."""


def told_by_disk(error: BaseException | None, disk: Path) -> str | None:
    """Return what the disk of a folder said where that led to an error, else None."""
    no_space, is_full = os.strerror(errno.ENOSPC), shutil.disk_usage(disk).free < _NO_SPACE
    while error is not None:
        told, number = str(error), getattr(error, "errno", None)
        if number in _NUMBERS or no_space in told or (isinstance(error, OSError) and number is None and is_full):
            return f"{no_space} ({told})" if is_full and no_space not in told else told
        error = error.__cause__ or error.__context__
    return None
