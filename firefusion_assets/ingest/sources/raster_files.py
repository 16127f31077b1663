"""Raster files in folders and in zips, listed without being read.

A zip is never unpacked to disk: members are read one at a time into memory, so that no member's name can lead
anywhere and no size can fill the disk.
"""

import lzma
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

_ENDINGS = {".tif", ".tiff"}
_LARGEST_MEMBER = 2**30
_ARCHIVE_LOCK: Final = threading.Lock()
"""An archive counts the members that are open, which threads may not do at once; they may read at once."""


@dataclass(frozen=True)
class RasterFile:
    """One GeoTIFF, in a folder or in a zip.

    Attributes:
        container: the folder, or the zip.
        member: path below the container, with "/".
        size: bytes.
        stamp: what changes when the content may have (modification time in ns; in a zip the CRC).
        archive: the open zip, shared by its members (each opening reads the whole directory); None for a folder.
    """

    container: Path
    member: str
    size: int
    stamp: int
    archive: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)

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

        if self.archive is None:
            # Else GDAL lists the folder with each file, to find what may lie beside it; so it asks for those by name.
            with (
                rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=True),
                rasterio.open(self.container / self.member) as dataset,
            ):
                yield dataset
        else:
            content = _content(self.archive, self.member)
            # Under its own name, for messages.
            with rasterio.MemoryFile(content, filename=self.name) as memory, memory.open() as dataset:
                yield dataset


def _content(archive: zipfile.ZipFile, member: str) -> bytes:
    try:
        with _ARCHIVE_LOCK:
            stream = archive.open(member)
        try:
            return stream.read()
        finally:
            with _ARCHIVE_LOCK:
                stream.close()
    except (zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        # Damaged, cut short, or (not implemented) compressed in a way that zipfile doesn't know.
        raise zipfile.BadZipFile(str(error)) from error


def list_rasters(images: Path, masks: Path) -> tuple[list[RasterFile], list[RasterFile], list[str]]:
    """List the GeoTIFFs of two folders, or zips, sorted by their path.

    Returns:
        Images, masks, and a line for each member of a zip that is refused.

    Raises:
        FileNotFoundError: naming each of the two that is neither a folder nor a zip, or holds no GeoTIFF.
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
    (image_files, problems), (mask_files, mask_problems) = _list(images), _list(masks)
    return image_files, mask_files, problems + mask_problems


def _list(container: Path) -> tuple[list[RasterFile], list[str]]:
    problems: list[str] = []
    if container.is_dir():
        paths = sorted(path for path in container.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file())
        files = [
            RasterFile(
                container,
                path.relative_to(container).as_posix(),
                (stat := path.stat()).st_size,
                stat.st_mtime_ns,
            )
            for path in paths
        ]
    else:
        files = []
        archive = zipfile.ZipFile(container)  # open as long as one of its files is in use
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if info.is_dir() or PurePosixPath(info.filename).suffix.lower() not in _ENDINGS:
                continue
            if info.flag_bits & 1 or info.file_size > _LARGEST_MEMBER:
                problems.append(f"{container}/{info.filename}: encrypted or over 1 GiB; unpack it by hand")
            else:
                files.append(RasterFile(container, info.filename, info.file_size, info.CRC, archive))
    if not files and not problems:
        raise FileNotFoundError(f"{container}: holds no .tif; put the patches there, or correct its path in study.yaml")
    return files, problems


def listing(files: Iterable[RasterFile]) -> list[tuple[str, int, int]]:
    """Return what a fingerprint needs to know of files: path below its container, bytes, stamp."""
    return sorted((file.member, file.size, file.stamp) for file in files)
