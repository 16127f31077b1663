"""Products cut into patches of the data set's grid, one row of patches after the other.

Rows, because products are stored in lines or in tiles: reading whole lines touches every stored block once in both,
and memory holds one row of patches of each band, whatever the scene's size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.names import PatchName
from firefusion_assets.landsat.products.product import Product
from firefusion_assets.landsat.products.quality import FILL, Quality


@dataclass(frozen=True)
class ProductPatch:
    """One patch of a product.

    Attributes:
        name: its name in the data set's way, with path, row and day.
        bands: uint16 DN (bands, size, size), 0 beyond the scene's border.
        crs: coordinate reference system, or None.
        transform: six coefficients from (sample, line) of the patch to coordinates.
        quality: conditions of its pixels, or None where the product has no quality band.
        column: column of patches in the scene, from 0; what `Strip.tile` takes.
    """

    name: PatchName
    bands: npt.NDArray[np.uint16]
    crs: str | None
    transform: tuple[float, ...]
    quality: Quality | None
    column: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of a north-up patch in its CRS."""
        a, _, left, _, e, top = self.transform
        height, width = self.bands.shape[1:]
        return left, top + e * height, left + a * width, top


@dataclass(frozen=True)
class Strip:
    """One row of patches across a whole scene, with lines above and below for what looks at neighbourhoods.

    Attributes:
        product: what it was read from.
        row: row of patches in the scene, from 0.
        patch_size: height and width of a patch in px.
        first: the scene's line that the arrays begin with.
        bands: uint16 DN (lines, width) by name, clipped at the scene's borders; B1 is always among them.
        conditions: uint16 (lines, width) of BQA or QA_PIXEL, or None.
        saturation: the same of QA_RADSAT, or None.
    """

    product: Product
    row: int
    patch_size: int
    first: int
    bands: dict[str, npt.NDArray[np.uint16]]
    conditions: npt.NDArray[np.uint16] | None
    saturation: npt.NDArray[np.uint16] | None

    def quality(self) -> Quality | None:
        """Return the conditions of all pixels, bool (lines, width) each."""
        if self.conditions is None:
            return None
        return Quality.decode(self.product.files.id.generation, self.conditions, self.saturation)

    def tile(self, plane: npt.NDArray[Any], column: int, beyond: int = 0) -> npt.NDArray[Any]:
        """Cut the square of one patch out of a plane (lines, width) of this strip, for example of a detection.

        Args:
            plane: lies as the bands do.
            column: column of patches, from 0.
            beyond: what is put beyond the scene's border.
        """
        size = self.patch_size
        top, left = self.row * size - self.first, column * size
        inside = plane[top : top + size, left : left + size]
        square = np.full((size, size), beyond, plane.dtype)
        square[: inside.shape[0], : inside.shape[1]] = inside
        return square

    def patches(self, bands: Sequence[str]) -> Iterator[ProductPatch]:
        """Yield the patches from west to east; numbers go down the columns and count left-out tiles, empty in B1."""
        product, size = self.product, self.patch_size
        n_rows = ceil(product.height / size)
        a, b, c, d, e, f = product.transform
        for column in range(ceil(product.width / size)):
            if not self.tile(self.bands["B1"], column).any():
                continue
            x, y = column * size, self.row * size
            quality = None
            if self.conditions is not None:
                planes = [self.tile(self.conditions, column, beyond=FILL)]
                if self.saturation is not None:
                    planes.append(self.tile(self.saturation, column))
                quality = Quality.decode(product.files.id.generation, *planes)
            yield ProductPatch(
                name=replace(product.files.id.scene, number=f"{column * n_rows + self.row + 1:05d}"),
                bands=np.stack([self.tile(self.bands[band], column) for band in bands]),
                crs=product.crs,
                transform=(a, b, a * x + b * y + c, d, e, d * x + e * y + f),
                quality=quality,
                column=column,
            )


def strips(product: Product, bands: Sequence[str], patch_size: int, margin: int = 0) -> Iterator[Strip]:
    """Read a product row of patches by row of patches, from north to south.

    Args:
        product: open, with at least these bands.
        bands: names; B1 is read too.
        patch_size: height and width of a patch in px.
        margin: lines to read above and below: what computes on windows gives the same as on the whole scene if the
            margin is what its windows reach.

    Raises:
        ProductError: with every band of a row that can't be read.
    """
    roles = tuple(dict.fromkeys(("B1", *bands)))
    for row in range(ceil(product.height / patch_size)):
        first = max(0, row * patch_size - margin)
        stop = min(product.height, (row + 1) * patch_size + margin)
        lines = product.read((*roles, *product.quality_roles), first, stop)
        planes = dict(zip((*roles, *product.quality_roles), lines, strict=True))
        yield Strip(
            product=product,
            row=row,
            patch_size=patch_size,
            first=first,
            bands={band: planes[band] for band in roles},
            conditions=next((planes[role] for role in ("BQA", "QA_PIXEL") if role in planes), None),
            saturation=planes.get("QA_RADSAT"),
        )
