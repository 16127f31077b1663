"""Raster files in folders and in zips, listed without being read.

A zip is never unpacked to disk: members are read one at a time into memory, so that no member's name can lead
anywhere and no size can fill the disk.
"""

import lzma
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from firefusion_assets.core.folders import files_below, is_leftover, printable, some_of

GEOTIFF: Final = (".tif", ".tiff")
IMAGES: Final = (*GEOTIFF, ".png")
"""Endings of what is read of one's own images."""
_LARGEST_MEMBER = 2**30
_ENCRYPTED, _PATCH, _UTF_8 = 0x1 | 0x40, 0x20, 0x800
"""General purpose flags of a zip's entry (APPNOTE.TXT, 4.4.4)."""
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ARCHIVE_LOCK: Final = threading.Lock()
"""An archive counts the members that are open, which threads may not do at once; they may read at once."""


@dataclass(frozen=True)
class RasterFile:
    """One raster file, in a folder or in a zip.

    Attributes:
        container: the folder, or the zip.
        member: path below the container, with "/".
        size: bytes.
        stamp: what changes when the content may have (modification time in ns; in a zip the CRC).
        archive: the open zip, shared by its members (each opening reads the whole directory); None for a folder.
        info: the zip's entry; None for a folder.
    """

    container: Path
    member: str
    size: int
    stamp: int
    archive: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)
    info: zipfile.ZipInfo | None = field(default=None, repr=False, compare=False)

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return PurePosixPath(self.member).stem

    @property
    def name(self) -> str:
        """File name with its ending."""
        return PurePosixPath(self.member).name

    def __str__(self) -> str:
        return str(self.container / self.member)

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the file with rasterio; several threads may.

        Raises:
            rasterio.errors.RasterioIOError: if it is no readable raster.
            zipfile.BadZipFile: if a member is damaged.
        """
        import rasterio

        if self.archive is None or self.info is None:
            # Else GDAL lists the folder with each file, to find what may lie beside it; so it asks for those by name.
            with (
                rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=True),
                rasterio.open(self.container / self.member) as dataset,
            ):
                yield dataset
        else:
            content = _content(self.archive, self.info)
            # Under its own name, for messages.
            with rasterio.MemoryFile(content, filename=self.name) as memory, memory.open() as dataset:
                yield dataset


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with _ARCHIVE_LOCK:
            stream = archive.open(member)
        try:
            # With the size that it declares, which the caller has looked at: without one a member that inflates to
            # more than that would do so in memory before its checksum is looked at.
            return stream.read(member.file_size)
        finally:
            with _ARCHIVE_LOCK:
                stream.close()
    except (zlib.error, lzma.LZMAError, EOFError) as error:  # damaged or cut short
        raise zipfile.BadZipFile(str(error)) from error


@dataclass(frozen=True)
class RasterListing:
    """What a folder or zip holds.

    Attributes:
        files: its raster files, sorted by their path.
        problems: a line for each that can't be used.
        unread: other files, which nothing reads.
    """

    files: list[RasterFile]
    problems: list[str]
    unread: list[str]


def list_rasters(images: Path, masks: Path, endings: Sequence[str] = GEOTIFF) -> tuple[RasterListing, RasterListing]:
    """List two folders, or zips.

    Args:
        images: the one.
        masks: the other.
        endings: of the files that are read, in lower case.

    Raises:
        FileNotFoundError: naming each of the two that is neither a folder nor a zip, or holds no such file.
    """
    missing = [
        f"{container}: is no zip, or cut short; fetch it again"
        if container.is_file()
        else f"{container}: there is no such folder or zip; put the files there, or correct its path in study.yaml"
        for container in (images, masks)
        if not container.is_dir() and not zipfile.is_zipfile(container)
    ]
    if missing:
        raise FileNotFoundError("\n".join(missing))
    return _list(images, endings), _list(masks, endings)


def _list(container: Path, endings: Sequence[str]) -> RasterListing:
    listed = RasterListing([], [], [])
    for file in _folder_files(container) if container.is_dir() else _zip_files(container):
        if PurePosixPath(file.member).suffix.lower() not in endings:
            listed.unread.append(str(file))
        elif problem := _unusable(file):
            listed.problems.append(f"{printable(str(file))}: {problem}")
        else:
            listed.files.append(file)
    if not listed.files and not listed.problems:
        instead = f" (only {some_of(listed.unread)})" if listed.unread else ""
        raise FileNotFoundError(
            f"{container}: holds no {' or '.join(endings)}{instead}; put the patches there, or correct its path in "
            "study.yaml"
        )
    return listed


def _folder_files(folder: Path) -> Iterator[RasterFile]:
    for path in files_below(folder):
        stat = path.stat() if path.exists() else None
        size, stamp = (stat.st_size, stat.st_mtime_ns) if stat else (0, 0)
        yield RasterFile(folder, path.relative_to(folder).as_posix(), size, stamp)


def _zip_files(container: Path) -> Iterator[RasterFile]:
    try:
        archive = zipfile.ZipFile(container)  # open as long as one of its files is in use
    # A damaged directory, a newer version of the format, a name that isn't in the encoding it claims.
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise FileNotFoundError(
            f"{container}: can't be read as a zip ({error}); fetch it again, or unpack it by hand"
        ) from error
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        # Some programs write paths as Windows does.
        member = info.filename.replace("\\", "/")
        if not member.endswith("/") and not any(map(is_leftover, PurePosixPath(member).parts)):
            yield RasterFile(container, member, info.file_size, info.CRC, archive, info)


def _unusable(file: RasterFile) -> str | None:
    """Say why a file can't be used, as far as that is known before it is opened."""
    info = file.info
    if info is None:
        if not (file.container / file.member).exists():
            return "is a link to nothing; repair or remove it"
    elif info.flag_bits & _ENCRYPTED or info.file_size > _LARGEST_MEMBER:
        return "encrypted or over 1 GiB; unpack it by hand"
    elif info.flag_bits & _PATCH or info.compress_type not in _COMPRESSIONS:
        return "packed in a way that can't be read here (such as Deflate64); unpack it by hand"
    elif not info.flag_bits & _UTF_8 and not info.filename.isascii():
        return "its name is in an unknown encoding; zip the files anew with names in UTF-8"
    return None if printable(file.member) == file.member else "its name is no UTF-8; rename it"


def listing(files: Iterable[RasterFile]) -> list[tuple[str, int, int]]:
    """Return what a fingerprint needs to know of files: path below its container, bytes, stamp."""
    return sorted((file.member, file.size, file.stamp) for file in files)
