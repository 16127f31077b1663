"""The files of a product, in a folder or in a tar.

No member's name of a tar ever leads to a place on disk. A plain tar is read where it lies, from the bytes of each
member. A compressed one can only be read from its beginning: the members that are wanted are unpacked once, under
names of our own.
"""

import shutil
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from firefusion_assets.landsat.products.naming import ProductError, ProductId, file_role

_LARGEST_MEMBER = 2**30
_LARGEST_TEXT = 2**24


@dataclass(frozen=True)
class Member:
    """One file of a product: a whole file, or bytes of a tar.

    Attributes:
        shown: what messages call it.
        file: where its bytes are.
        offset: its first byte in the file.
        size: how many bytes; None for the whole file.
    """

    shown: str
    file: Path
    offset: int = 0
    size: int | None = None

    @property
    def raster_path(self) -> str:
        """The path under which GDAL opens it."""
        return str(self.file) if self.size is None else f"/vsisubfile/{self.offset}_{self.size},{self.file}"

    def text(self) -> str:
        """Return its content as text; what is no text is replaced, not raised."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            content = file.read(_LARGEST_TEXT if self.size is None else min(self.size, _LARGEST_TEXT))
        return content.decode("utf-8", errors="replace")


@contextmanager
def open_members(
    container: Path, product: ProductId, wanted: Collection[str], scratch: Path | None
) -> Iterator[tuple[dict[str, Member], list[str]]]:
    """Yield the files of a product by role, and a line for each that can't be used.

    Args:
        container: folder or tar.
        product: only files named after it count.
        wanted: roles, see `file_role`.
        scratch: where a compressed tar's members are unpacked while they are in use; None for the system's own.

    Raises:
        ProductError: if a tar is damaged.
        OSError: if the disk is full or a file may not be read.
    """
    if container.is_dir():
        yield _folder_members(container, product, wanted)
        return
    with TemporaryDirectory(prefix="product-", dir=scratch) as folder:
        try:
            if not _is_compressed(container):
                found = _tar_members(container, product, wanted)
            else:
                found = _unpacked_members(container, product, wanted, Path(folder))
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the machine's trouble, not the tar's
                raise
            raise ProductError([f"{container}: is damaged or no tar ({error}); fetch it again"]) from error
        yield found


def _is_compressed(file: Path) -> bool:
    """Tell by the first bytes, since people rename files: gzip, bzip2, xz, Zstandard (RFC 1952, 8878 and the like)."""
    with file.open("rb") as stream:
        return stream.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"))


def _folder_members(folder: Path, product: ProductId, wanted: Collection[str]) -> tuple[dict[str, Member], list[str]]:
    members: dict[str, Member] = {}
    problems: list[str] = []
    for path in sorted(folder.iterdir()):
        role = _role(path.name, product, wanted)
        if role in members:
            problems.append(f"{path}: is a duplicate of {members[role].shown}; remove one of them")
        elif role and not path.exists():
            problems.append(f"{path}: is a link to nothing; correct or remove it")
        elif role:
            members[role] = Member(str(path), path.resolve())
    return members, problems


def _tar_members(path: Path, product: ProductId, wanted: Collection[str]) -> tuple[dict[str, Member], list[str]]:
    members: dict[str, Member] = {}
    problems: list[str] = []
    with tarfile.open(path, "r:") as tar, path.open("rb") as file:
        for role, info in _wanted_members(path, tar, product, wanted, problems):
            members[role] = Member(f"{path}/{info.name}", path.resolve(), info.offset_data, info.size)
        file.seek(tar.offset)
        if any(file.read(tarfile.BLOCKSIZE)):  # the module takes a header that makes no sense for the end
            raise tarfile.ReadError(f"no header at byte {tar.offset}")
    return members, problems


def _unpacked_members(
    path: Path, product: ProductId, wanted: Collection[str], folder: Path
) -> tuple[dict[str, Member], list[str]]:
    members: dict[str, Member] = {}
    problems: list[str] = []
    with tarfile.open(path, "r:*") as tar:
        for role, info in _wanted_members(path, tar, product, wanted, problems):
            source = tar.extractfile(info)
            if source is None:
                continue
            with source, (folder / role).open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
            members[role] = Member(f"{path}/{info.name}", folder / role)
        while tar.fileobj is not None and tar.fileobj.read(2**20):
            pass  # the checksum of what was unpacked comes last
    return members, problems


def _wanted_members(
    path: Path, tar: tarfile.TarFile, product: ProductId, wanted: Collection[str], problems: list[str]
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield the wanted members of a tar in its order; add a line to the problems for each that is refused."""
    seen: set[str] = set()
    for info in tar:
        role = _role(PurePosixPath(info.name).name, product, wanted)
        if role is None:
            continue
        if role in seen:
            problems.append(f"{path}/{info.name}: is in the tar twice; fetch the tar again")
        elif not info.isreg() or info.issparse() or info.size > _LARGEST_MEMBER:
            problems.append(f"{path}/{info.name}: is a link, sparse or over 1 GiB; fetch the tar again")
        else:
            yield role, info
        seen.add(role)


def _role(name: str, product: ProductId, wanted: Collection[str]) -> str | None:
    stated = file_role(name)
    return stated[1] if stated and stated[0] == product.text and stated[1] in wanted else None
