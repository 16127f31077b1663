"""The active fire data set, from its drive or from zips given by hand.

The manually annotated set always, regions of the big set by choice. A download that is cut off resumes, in the same
run or a later one. Where the drive refuses, the error says what to do by hand; a zip or a folder in the right place
serves as well as a download.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from filelock import FileLock, Timeout

from firefusion_assets.core.folders import files_below
from firefusion_assets.ingest.fetching import DRIVE, DownloadError, fetch
from firefusion_assets.landsat.names import PatchName, PatchNameError

PROJECT: Final = "https://github.com/pereira-gha/activefire"
IMAGES: Final = "landsat_patches"
CHECKSUMS: Final = "SHA256SUMS"
"""Beside the zips, in the format of `sha256sum --check`. The project publishes no checksums, so a zip is trusted on its
first use; from then on a zip of this name must be the same."""


@dataclass(frozen=True)
class Archive:
    """A zip of the data set.

    Attributes:
        name: its name without `.zip`.
        drive_id: its file on the drive.
        images: where its patches belong, below the input folder.
        masks: where its masks belong, below the input folder.
    """

    name: str
    drive_id: str
    images: str
    masks: str

    def by_hand(self, folder: Path) -> str:
        """Return what a person can do instead."""
        return (
            f"Run again later (a quota is lifted after a day or so): it goes on where it stopped. Or by hand: download "
            f"{DRIVE}/file/d/{self.drive_id}/view as {folder / self.name}.zip (or put the unzipped .tif into "
            f"{' and '.join(sorted({str(folder / self.images), str(folder / self.masks)}))}) and run again. The "
            f"project's page: {PROJECT}"
        )


# The ids stand in download_manual_annotations.py and download_dataset.py, src/utils of the project's repository.
MANUAL: Final = tuple(
    Archive(name, drive_id, images=name, masks=name)
    for name, drive_id in {
        IMAGES: "1uZnc65_GRFdAoavGoUKkJfeVQOUI8lVg",
        "manual_annotations_patches": "1LdsX-rH5hy_82jfc1akO8p4n0_N8lRgf",
        "masks_patches": "1RCURItVvqsT_oMxlhB5NYiRp8SJ9_xZ3",
    }.items()
)
"""The manually annotated set: patches, manual masks, masks of the algorithms."""

REGIONS: Final = {
    name: Archive(name, drive_id, images=f"regions/{IMAGES}/{name}", masks=f"regions/masks_patches/{name}")
    for name, drive_id in {
        "Africa": "1Ng3JwsjJPApshk8lJdGcsNHI52NaEMDX",
        "Asia1": "1xgOQkeQIswq3hLBhNzuNPTtsL4ZavuC3",
        "Asia2": "1w_wv0_QZhnH9jO1ygJg6ssTrXupIbTHp",
        "Asia3": "1heefSuPsnLZkNSJ2jTa4M-jGWo_9nAri",
        "Asia4": "1lyR6y6u8tSozfv3AQJ1PuUcdR0BU9yUk",
        "Asia5": "1Y1UysFrZ8AiugKvDpWI3nHcjo7-CQ4Dp",
        "Europe": "1vANGtfuEdn0ZnILA6BYXW1_7jt8CU0gA",
        "North_America1": "1BXRGldTdGGNeWDOFqNnmiNPuPQjweB2M",
        "North_America2": "1zW_pEIggJ5Li7uQX9XKMfHkcgL3kiUoi",
        "Oceania": "1xHYTICHKU0u3-kIrq-pM9k0YaeQt60Bt",
        "South_America": "1hnBUmYkvFYohTf9hTnKiyp2MXVevglK7",
    }.items()
}
"""The big set: 2 GB (Oceania) to 34 GB (Asia5) a zip, which holds zips of patches and of masks."""


def bring(archive: Archive, folder: Path, progress: Callable[[str], None]) -> None:
    """Bring an archive's patches and masks into their folders, from the zip in `folder` if there is one.

    The zip's SHA-256 is recorded in `folder`/`CHECKSUMS` once it was unpacked, and checked from then on.

    Args:
        archive: what to bring.
        folder: the input folder.
        progress: called with a line for each thing done.

    Raises:
        DownloadError: if it can't be brought, or differs from what is recorded.
    """
    images, masks = folder / archive.images, folder / archive.masks
    if _holds_rasters(images) and _holds_rasters(masks):
        progress(f"{archive.name}: is there")
        return
    folder.mkdir(parents=True, exist_ok=True)
    zipped = folder / f"{archive.name}.zip"
    try:
        with FileLock(folder / f".{archive.name}.lock", timeout=0):
            if not zipped.is_file():
                fetch(archive.drive_id, zipped)
            checksum, recorded = _checksum(zipped), _recorded_checksum(zipped)
            if recorded not in (None, checksum):
                raise DownloadError(
                    f"{zipped} has the SHA-256 {checksum}, recorded is {recorded}: it is damaged or another edition; "
                    f"remove it and run again, or accept it by removing its line from {folder / CHECKSUMS}"
                )
            count = unpack(zipped, images, masks)
            if recorded is None:
                with (folder / CHECKSUMS).open("a") as file:
                    file.write(f"{checksum}  {zipped.name}\n")
    except Timeout:
        raise DownloadError("another process is bringing it") from None
    except OSError as error:
        raise DownloadError(f"could not be written ({error}); free space or repair the folder") from error
    progress(f"{archive.name}: {count} files; {zipped} is no longer needed")


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _recorded_checksum(file: Path) -> str | None:
    record = file.with_name(CHECKSUMS)
    lines = record.read_text().splitlines() if record.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f"  {file.name}")), None)


def unpack(zipped: Path, images: Path, masks: Path) -> int:
    """Unpack the GeoTIFFs of a zip, and of zips in it, whose sums are checked; return their number.

    Folders in the zip are left out: a file's name says what it is. The two folders appear when they are complete;
    an attempt that is cut short is gone on with.

    Args:
        zipped: the zip.
        images: where files without a mask label belong.
        masks: where masks belong; may be the same folder.

    Raises:
        DownloadError: if the zip is damaged or holds no .tif.
    """
    # A folder that is there already is filled up.
    parts = {
        part: part if _holds_rasters(part) else zipped.with_name(f".{zipped.stem}-{kind}.partial")
        for kind, part in (("masks", masks), ("images", images))
    }
    for part, unfinished in parts.items():
        unfinished.mkdir(exist_ok=True)
        part.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with zipfile.ZipFile(zipped) as archive:
            for holder, member in _rasters(archive):
                name = PurePosixPath(member.filename).name
                target = parts[masks if _is_mask(name) else images] / name
                if not target.is_file() or target.stat().st_size != member.file_size:
                    target.write_bytes(holder.read(member))
                count += 1
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DownloadError(f"{zipped} is damaged ({error}); remove it and run again") from error
    if count == 0:
        raise DownloadError(f"{zipped} holds no .tif; remove it and run again")
    for part, unfinished in parts.items():
        unfinished.replace(part)
    return count


def _rasters(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
    """Yield each GeoTIFF with the zip that holds it, in the order of their bytes."""
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        path = PurePosixPath(member.filename)
        if path.suffix.lower() == ".zip":
            with archive.open(member) as file, zipfile.ZipFile(file) as inner:
                yield from _rasters(inner)
        elif _is_raster(path):
            yield archive, member


def _is_raster(path: PurePath) -> bool:
    return path.suffix.lower() in (".tif", ".tiff") and not path.name.startswith(".")


def _holds_rasters(folder: Path) -> bool:
    return folder.is_dir() and any(map(_is_raster, files_below(folder)))


def _is_mask(name: str) -> bool:
    try:
        return PatchName.parse(PurePosixPath(name).stem).label is not None
    except PatchNameError:
        return False  # the ingest will name it
