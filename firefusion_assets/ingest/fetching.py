"""One file of the drive, brought by gdown: resumed where it was cut off; a page of refusal is not taken for a file."""

import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Final

from firefusion_assets.core.errors import UserError

DRIVE: Final = "https://drive.google.com"
_RETRIES: Final = 8
_STARTS: Final = 4


class DownloadError(UserError, RuntimeError):
    """What keeps a file from being brought; the message says why."""


def fetch(drive_id: str, target: Path) -> None:
    """Download a zip of the drive, resuming what an earlier call left in `<target>????????.part`.

    Raises:
        DownloadError: if gdown isn't installed, the drive refuses, the connection fails, the disk has no room, or what
            came is no zip.
    """
    try:
        import gdown
        import requests
    except ImportError:
        raise DownloadError("the drive's files need gdown: .venv/bin/pip install -e '.[data]'") from None
    for _ in range(_STARTS):
        try:
            gdown.download(
                id=drive_id, output=str(target), use_cookies=False, resume=True, retries=_RETRIES, timeout=60,
                progress=partial(_require_room, target.parent),
            )  # fmt: skip
            break
        except gdown.FileURLRetrievalError as error:
            raise DownloadError(f"the drive refuses: {' '.join(str(error).split())}") from None
        except (gdown.DownloadError, requests.RequestException) as error:
            if "byte range" not in str(error):
                raise DownloadError(f"the connection failed: {error}") from error
            # The part belongs to an earlier edition of the file, or the server sends files only from their start.
            for part in target.parent.glob(f"{target.name}{'?' * 8}.part"):
                part.unlink()
    else:
        raise DownloadError("the connection is cut again and again, and the server sends the file only from its start")
    if not zipfile.is_zipfile(target):
        target.unlink()
        raise DownloadError(f"what came from {DRIVE}/uc?id={drive_id} is no zip")


def _require_room(folder: Path, done: int, total: int | None) -> None:
    free = shutil.disk_usage(folder).free
    if total is not None and free < total - done:
        raise DownloadError(f"the disk has room for {free:,} bytes, {total - done:,} are to come; free space")
