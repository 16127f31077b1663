"""Whole scenes to predict on, read line by line: level-1 products of Landsat, and images of any size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError

from firefusion_assets.core.errors import UserError
from firefusion_assets.core.folders import files_below
from firefusion_assets.ingest.cutting import strips
from firefusion_assets.ingest.rasters import BadFileError, declared_missing, has_own_mask, to_dn
from firefusion_assets.ingest.sources.raster_files import IMAGES
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.detectors import DETECTOR_BANDS, SINGLE_DETECTORS, Mask, detect
from firefusion_assets.landsat.fire_rules import REACH
from firefusion_assets.landsat.products.naming import ProductError
from firefusion_assets.landsat.products.product import Product, ProductFiles, find_products, open_product

_IMAGES: Final = (*IMAGES, ".vrt", ".jp2")
_DETECTOR_LINES: Final = 256


class SceneError(UserError, ValueError):
    """A scene that can't be read; the message names the file and the remedy."""


@dataclass(frozen=True)
class SceneFile:
    """A scene as it lies.

    Attributes:
        name: of the product, or of the image without its ending.
        source: the product, or the path of the image.
    """

    name: str
    source: ProductFiles | Path

    def __str__(self) -> str:
        return str(self.source)


@dataclass(frozen=True)
class Scene:
    """An open scene as lines of the wanted bands.

    Attributes:
        height: lines.
        width: samples.
        crs: coordinate reference system, or None.
        transform: six coefficients from (sample, line) to coordinates.
        raster: what is read from.
        bands: names of the wanted bands in a product, numbers from 1 in an image.
        landsat: whether the values are Landsat's DN.
    """

    height: int
    width: int
    crs: str | None
    transform: tuple[float, ...]
    raster: Any
    bands: tuple[Any, ...]
    landsat: bool

    def read(self, first: int, stop: int) -> npt.NDArray[np.uint16]:
        """Return uint16 DN (bands, stop - first, width), as a store has them; fill is 0 in all bands.

        Raises:
            ProductError: with every band of a product that can't be read.
            BadFileError: if an image can't be.
        """
        if isinstance(self.raster, Product):
            lines = self.raster.read(self.bands, first, stop)
            return to_dn(str(self.raster.files), lines, None, landsat=True)[0]
        window = ((first, stop), (0, self.width))
        try:
            values = self.raster.read(self.bands, window=window)
            valid = self.raster.read_masks(self.bands, window=window) != 0 if has_own_mask(self.raster) else None
        except RasterioError as error:
            raise BadFileError(
                f"{self.raster.name}: lines {first} to {stop} can't be read ({error}): damaged"
            ) from error
        nodata = [self.raster.nodatavals[band - 1] for band in self.bands]
        return to_dn(self.raster.name, values, declared_missing(values, nodata, valid), self.landsat)[0]

    @property
    def has_detectors(self) -> bool:
        """Whether the published detectors can work: they need a product's calibration and its sun."""
        return isinstance(self.raster, Product)

    def detected(self) -> Iterator[tuple[int, dict[str, Mask]]]:
        """Yield what the published detectors see, from north to south: the first line, and bool (lines, width) by name.

        Raises:
            ProductError: with every band that can't be read.
        """
        metadata = self.raster.metadata
        for strip in strips(self.raster, DETECTOR_BANDS["voting"], _DETECTOR_LINES, margin=REACH):
            quality = strip.quality()
            found = detect(
                (*SINGLE_DETECTORS, "voting"),
                strip.bands,
                metadata.sun_elevation,
                saturated=quality.saturated if quality else None,
                calibration=metadata.reflectance,
            )
            first = strip.row * _DETECTOR_LINES
            above, n = first - strip.first, min(_DETECTOR_LINES, self.height - first)
            yield first, {name: mask[above : above + n] for name, mask in found.items()}


def find_scenes(paths: Sequence[Path]) -> list[SceneFile]:
    """List the scenes in folders, tars and image files: the products of a folder, or its images where it has none.

    Raises:
        SceneError: with all that can't be used: paths without a scene, scenes of one name, products of another level.
    """
    scenes: dict[str, SceneFile] = {}
    problems: list[str] = []
    for path in paths:
        if not path.exists():
            problems.append(f"{path}: there is no such file or folder")
            continue
        found = [SceneFile(path.stem, path)] if path.suffix.lower() in _IMAGES and path.is_file() else []
        if not found:
            try:
                products, refused = find_products(path)
                found = [SceneFile(files.id.text, files) for files in products]
                problems += refused
            except FileNotFoundError as error:
                below = files_below(path) if path.is_dir() else []
                found = [SceneFile(file.stem, file) for file in below if file.suffix.lower() in _IMAGES]
                if not found:
                    problems.append(f"{error}; images are read too: {', '.join(_IMAGES)}")
        for scene in found:
            if scenes.setdefault(scene.name, scene) is not scene:
                problems.append(f"{scene}: its map would be named as that of {scenes[scene.name]}; rename one of them")
    if problems:
        raise SceneError("\n".join(problems))
    return [scenes[name] for name in sorted(scenes)]


@contextmanager
def open_scene(file: SceneFile, bands: Sequence[str], of_images: Sequence[str]) -> Iterator[Scene]:
    """Open a scene.

    Args:
        file: of `find_scenes`.
        bands: names of the bands to read, in the order wanted.
        of_images: names of an image's bands in file order, for images whose bands bear no such names.

    Raises:
        SceneError: if it can't be read, or lacks a band.
    """
    try:
        if isinstance(file.source, Path):
            with rasterio.open(file.source) as dataset:
                yield _image(dataset, bands, of_images)
        else:
            with open_product(file.source, tuple(dict.fromkeys((*bands, *DETECTOR_BANDS["voting"])))) as product:
                yield Scene(
                    product.height, product.width, product.crs, product.transform, product, tuple(bands), landsat=True
                )
    except ProductError as error:
        raise SceneError("\n".join(error.problems)) from error
    except BadFileError as error:
        raise SceneError(str(error)) from error
    except (RasterioError, BadZipFile) as error:
        raise SceneError(f"{file}: can't be read ({error}); fetch it again") from error


def _image(dataset: Any, bands: Sequence[str], of_images: Sequence[str]) -> Scene:
    """Return an image as a scene; its bands are known by their descriptions, else by their order."""
    described = tuple(name or "" for name in dataset.descriptions)
    names = described if {*bands} <= {*described} else tuple(of_images)
    said = ", ".join(filter(None, described)) or "nothing"
    missing = [band for band in bands if band not in names]
    if missing or len(names) != dataset.count:
        raise BadFileError(
            f"{dataset.name}: has {dataset.count} bands, described as {said}; "
            f"expected are {', '.join(names or bands)}. Say what they are, in file order: --bands {','.join(bands)}"
        )
    return Scene(
        dataset.height,
        dataset.width,
        dataset.crs.to_string() if dataset.crs else None,
        tuple(dataset.transform)[:6],
        dataset,
        tuple(names.index(band) + 1 for band in bands),
        # The bands of Landsat bear these names, in images as in products.
        landsat={*bands} <= {*FILE_BANDS} and dataset.dtypes[0] == "uint16",
    )
