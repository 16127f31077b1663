"""One file from a server or the drive: gone on with where it was cut off, refused pages told from files.

gdown finds where the bytes of a drive's file are; all else is plain HTTP.
"""

import http.client
import importlib
import re
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Final

from firefusion_assets.core.atomic_files import flush
from firefusion_assets.core.errors import UserError

DRIVE: Final = "https://drive.google.com"
_CHUNK: Final = 2**20
_VAIN_ATTEMPTS: Final = 4
_PAUSE: float = 2
"""Seconds before the second attempt in a row that brought nothing; doubled for each further one."""

Progress = Callable[[str], None]


class DownloadError(UserError, RuntimeError):
    """What keeps a file from being brought; the message says why."""


def fetch(url: str, target: Path, progress: Progress) -> None:
    """Download a zip to a file, going on behind what an earlier call left in `<target>.partial`.

    Raises:
        DownloadError: if a page comes instead of the file, the connection brings nothing any more, the disk has no
            room, or what came is no zip.
    """
    partial = target.with_name(f"{target.name}.partial")
    vain, farthest, reason = 0, 0, ""
    while vain < _VAIN_ATTEMPTS:
        if vain:
            time.sleep(_PAUSE * 2 ** (vain - 1))
        try:
            total = _go_on(url, partial, progress)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(error)
        else:
            if _size(partial) == total:
                break
            reason = f"the connection ended at {_size(partial):,} of {total:,} bytes"
            progress(f"{target.name}: {reason}; going on")
        vain = 0 if _size(partial) > farthest else vain + 1
        farthest = max(farthest, _size(partial))
    else:
        raise DownloadError(f"nothing comes any more: {reason}")
    if not zipfile.is_zipfile(partial):
        partial.unlink()
        raise DownloadError(f"what came from {url} is no zip")
    flush(partial)
    partial.replace(target)


def _go_on(url: str, partial: Path, progress: Progress) -> int:
    """Append to a file what a server still has of it, as far as the connection lasts; return the whole's bytes."""
    offset = _size(partial)
    try:
        response = _open(url, {"Range": f"bytes={offset}-"} if offset else {})
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # Either nothing is missing, or the file is another one now.
            if error.headers.get("Content-Range") == f"bytes */{offset}":
                return offset
            partial.unlink()
        elif error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DownloadError(f"refused with {error.code} {error.reason}: {_text(error.read())}") from error
        raise
    with response:
        if _is_page(response):
            raise DownloadError(f'a page came instead of the file: "{_text(response.read())}"')
        continued = re.fullmatch(rf"bytes {offset}-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status == HTTPStatus.PARTIAL_CONTENT and continued is None:
            raise http.client.HTTPException("the server sent another part than was asked for")
        # A server that knows no ranges sends everything again.
        length = continued[1] if continued else response.headers.get("Content-Length")
        if length is None:
            raise DownloadError(f"{url} doesn't tell its size, so that it can't be known when all is there")
        total, offset = int(length), offset if continued else 0
        if (free := shutil.disk_usage(partial.parent).free) < total - offset:
            raise DownloadError(f"the disk has room for {free:,} bytes, {total - offset:,} are to come; free space")
        with partial.open("ab" if continued else "wb") as file:
            told = offset
            for chunk in _chunks(response):
                file.write(chunk)
                if file.tell() - told >= total / 20:
                    told = file.tell()
                    progress(f"{partial.stem}: {told / 1e6:,.0f} of {total / 1e6:,.0f} MB")
    return total


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield a body until it or the connection ends."""
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException):
        return


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0", **headers})  # noqa: S310
    # The address is one of this module or comes from the drive's own page.
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    response: http.client.HTTPResponse = opener.open(request, timeout=60)
    return response


def drive_url(drive_id: str, drive: str = DRIVE) -> str:
    """Return the address of a drive file's bytes.

    Of large files the drive first shows a page, which says that it didn't look for viruses; gdown reads it.

    Raises:
        DownloadError: if the drive refuses, can't be reached, or gdown isn't installed.
    """
    try:
        gdown, errors = (importlib.import_module(f"gdown.{part}") for part in ("download", "exceptions"))
    except ImportError:
        raise DownloadError("the drive's files need gdown: .venv/bin/pip install -e '.[data]'") from None
    url = f"{drive}/uc?id={drive_id}&export=download"
    try:
        with _open(url, {}) as response:
            if not _is_page(response):
                return url
            page = response.read()
        return str(gdown.get_url_from_gdrive_confirmation(page.decode(errors="replace")))
    except errors.FileURLRetrievalError:
        raise DownloadError(f'the drive refuses: "{_text(page)}"') from None
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} can't be opened: {error}") from error


def _is_page(response: http.client.HTTPResponse) -> bool:
    return response.headers.get_content_type() == "text/html"


def _text(page: bytes) -> str:
    """Return the first words of a page."""
    words = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", page.decode(errors="replace"))
    return " ".join(words.split())[:300]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
