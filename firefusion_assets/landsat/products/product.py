"""Products, found below a folder and opened with all their bands on one grid.

Finding reads names only, so that a listing of terabytes takes no time; what is in a product shows when it is opened.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError

from firefusion_assets.core.folders import files_below
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.products.members import Member, open_members
from firefusion_assets.landsat.products.mtl import Metadata, MetadataError, read_metadata
from firefusion_assets.landsat.products.naming import ProductError, ProductId, file_role, without_tar_ending
from firefusion_assets.landsat.products.quality import QUALITY_BANDS

_METADATA_FILES = ("MTL.TXT", "MTL.JSON")
_REMEDY = "fetch the product again"
_OTHER_ARCHIVES: Final = (".zip", ".7z", ".rar", ".gz", ".xz", ".zst")

_BLOCK_CACHE: Final = 256 * 2**20
"""Bytes that GDAL may keep of decoded blocks; by itself it takes 5 % of the machine's memory.

Lines with a margin touch three rows of blocks; for twelve bands of a scene these are 150 MB. With less, every block is
decoded three times.
"""


@dataclass(frozen=True)
class ProductFiles:
    """A product as it lies.

    Attributes:
        id: its name.
        container: the folder or the tar.
    """

    id: ProductId
    container: Path

    def raw_input(self) -> list[tuple[str, int, int]]:
        """Return (name, bytes, modification time in ns) of its files, for a fingerprint."""
        files = [self.container] if self.container.is_file() else _own_files(self.container, self.id)
        return [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]

    def __str__(self) -> str:
        return str(self.container / self.id.text) if self.container.is_dir() else str(self.container)


@dataclass(frozen=True)
class Product:
    """A product that is open; every band lies on the grid of B1.

    Attributes:
        files: where it comes from.
        metadata: what its MTL says.
        height: lines.
        width: samples.
        crs: coordinate reference system, for example ``EPSG:32616``; None if the files name none.
        transform: six coefficients from (sample, line) to coordinates.
        quality_roles: the quality bands that are there.
        rasters: the open files by role, with what messages call them.
    """

    files: ProductFiles
    metadata: Metadata
    height: int
    width: int
    crs: str | None
    transform: tuple[float, ...]
    quality_roles: tuple[str, ...]
    rasters: dict[str, tuple[str, Any]]

    def read(self, roles: Sequence[str], first: int, stop: int) -> npt.NDArray[np.uint16]:
        """Return lines of bands or quality bands, uint16 (roles, stop - first, width).

        Raises:
            ProductError: with every band that can't be read.
        """
        lines = np.empty((len(roles), stop - first, self.width), np.uint16)
        problems = []
        for target, role in zip(lines, roles, strict=True):
            shown, raster = self.rasters[role]
            try:
                raster.read(1, window=((first, stop), (0, self.width)), out=target)
            except RasterioError as error:
                problems.append(f"{shown}: lines {first} to {stop} can't be read ({error}): damaged; {_REMEDY}")
        if problems:
            raise ProductError(problems)
        return lines


def find_products(root: Path) -> tuple[list[ProductFiles], list[str]]:
    """List the products in a folder and below, or the one that a tar holds.

    A tar counts by its ending (`TAR_ENDINGS`) and is known by its name; in folders products are known by the names
    of their files, so that the folder may be called anything and hold several. Links are followed.

    Returns:
        Products sorted by scene, and a line for each that is refused: of level 2, of another Landsat, misnamed,
        there twice, in an archive of another kind.

    Raises:
        FileNotFoundError: if there is nothing.
    """
    if not root.exists():
        raise FileNotFoundError(
            f"{root}: there is no such folder or tar; put the products there, or correct dataset.products in study.yaml"
        )
    names: dict[tuple[Path, str], None] = {}
    problems: list[str] = []
    for path in [root] if root.is_file() else files_below(root):
        if (stem := without_tar_ending(path.name)) is not None:
            names[path, stem] = None
        elif stated := file_role(path.name):
            names[path.parent, stated[0]] = None
        elif path.suffix.lower() in _OTHER_ARCHIVES:
            problems.append(f"{path}: is an archive that isn't read; unpack it, or pack the product as .tar")
    found: dict[str, ProductFiles] = {}
    for container, name in names:
        try:
            files = ProductFiles(ProductId.parse(name), container)
        except ProductError as error:
            problems += [f"{container}: {problem}" for problem in error.problems]
            continue
        first = found.setdefault(files.id.scene.scene, files)
        if first is not files:
            problems.append(f"{files}: its patches would be named as those of {first}; remove one of them")
    if not names:
        unread = "".join(f"\n{problem}" for problem in problems)
        raise FileNotFoundError(f"{root}: holds no level-1 product; put product folders or tars there{unread}")
    return [found[scene] for scene in sorted(found)], problems


@contextmanager
def open_product(
    files: ProductFiles,
    bands: Sequence[str] = FILE_BANDS,
    scratch: Path | None = None,
    optional: Sequence[str] = (),
) -> Iterator[Product]:
    """Open a product: its MTL read, its bands and quality bands checked.

    Args:
        files: from `find_products`.
        bands: names of the bands that are wanted; B1 is opened too, since it tells which tiles are empty.
        optional: names of bands that are opened where they are there.
        scratch: a folder with room for a compressed tar's bands (about 1.2 GB); None for the system's own.

    Raises:
        ProductError: with everything that keeps the product from being used: damage, missing files, missing fields,
            bands that lie on other grids than B1.
        OSError: if the disk is full or a file may not be read.
    """
    wanted = tuple(dict.fromkeys(("B1", *bands)))
    quality = QUALITY_BANDS[files.id.generation]
    with ExitStack() as stack:
        # Blocks are kept for as long as the lines that share them are read, not as long as memory lasts.
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_BLOCK_CACHE))
        members, problems = stack.enter_context(
            open_members(files.container, files.id, {*wanted, *optional, *quality, *_METADATA_FILES}, scratch)
        )
        problems += [
            f"{files}: lacks {files.id}_{band}.TIF; {_REMEDY}"
            + (f", or choose dataset.bands and dataset.labels that need no {band}" if band != "B1" else "")
            for band in wanted
            if band not in members
        ]
        present = tuple(dict.fromkeys((*wanted, *(band for band in optional if band in members))))
        metadata, metadata_problems = _metadata(files, members, present)
        problems += metadata_problems
        rasters: dict[str, tuple[str, Any]] = {}
        for role in (*present, *quality):
            if role in members:
                member = members[role]
                try:
                    rasters[role] = member.shown, stack.enter_context(rasterio.open(member.raster_path))
                except RasterioError as error:
                    problems.append(f"{member.shown}: can't be read ({error}): truncated, or no TIFF; {_REMEDY}")
        problems += _grid_problems(rasters)
        if problems or metadata is None:
            raise ProductError(problems)
        _, first = rasters["B1"]
        yield Product(
            files=files,
            metadata=metadata,
            height=first.height,
            width=first.width,
            crs=first.crs.to_string() if first.crs else None,
            transform=tuple(first.transform)[:6],
            quality_roles=tuple(role for role in quality if role in rasters),
            rasters=rasters,
        )


def _own_files(folder: Path, product: ProductId) -> list[Path]:
    named = ((path, file_role(path.name)) for path in sorted(folder.iterdir()) if path.exists())
    return [path for path, stated in named if stated and stated[0] == product.text]


def _metadata(
    files: ProductFiles, members: dict[str, Member], bands: Sequence[str]
) -> tuple[Metadata | None, list[str]]:
    """Read the MTL, and hold it against the product's name."""
    member = next((members[name] for name in _METADATA_FILES if name in members), None)
    if member is None:
        return None, [f"{files}: lacks {files.id}_MTL.txt (or .json); {_REMEDY}"]
    try:
        metadata = read_metadata(member.text(), bands)
    except MetadataError as error:
        return None, [f"{member.shown}: {problem}" for problem in error.problems]
    of_mtl, of_name = (f"{it.spacecraft}, path {it.path}, row {it.row}, {it.acquired}" for it in (metadata, files.id))
    if of_mtl != of_name:
        return None, [f"{member.shown}: is of another product ({of_mtl} instead of {of_name}); {_REMEDY}"]
    return metadata, []


def _grid_problems(rasters: dict[str, tuple[str, Any]]) -> list[str]:
    """Return a line for each file that is no single uint16 band on the grid of B1."""
    problems = []
    for shown, raster in rasters.values():
        if raster.count != 1 or raster.dtypes[0] != "uint16":
            problems.append(f"{shown}: holds {raster.count} bands of {raster.dtypes[0]}, not one of uint16; {_REMEDY}")
    if "B1" not in rasters:
        return problems
    _, first = rasters["B1"]
    for shown, raster in rasters.values():
        differing = [
            f"{name} {got} instead of {expected}"
            for name, got, expected in (
                ("size", f"{raster.height} x {raster.width}", f"{first.height} x {first.width}"),
                ("geotransform", tuple(raster.transform)[:6], tuple(first.transform)[:6]),
                ("CRS", raster.crs, first.crs),
            )
            if got != expected
        ]
        if differing:
            problems.append(f"{shown}: lies on another grid than B1 ({'; '.join(differing)}); {_REMEDY}")
    return problems
