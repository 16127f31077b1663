"""Images that were painted elsewhere: which there are, and what their pixels mean."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image

from firefusion_assets.core.folders import files_below, is_leftover, printable, some_of

_ENDINGS: Final = (".png", ".tif", ".tiff")
_OTHERS: Final = (".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".avif", ".jp2")
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def listing(images: Path, table: Path | None) -> list[tuple[str, int, int]]:
    """Return name, size in bytes and modification time in ns of the table and of each PNG and TIFF, sorted.

    Raises:
        ValueError: if the folder or the table is missing, or the folder holds no PNG and no TIFF, or other images.
    """
    problems = []
    if not images.is_dir():
        problems.append(f"{images}: there is no such folder; correct its path")
    else:
        if not names_in(images):
            problems.append(f"{images}: holds no PNG and no TIFF; put the painted images there")
        problems += _unread(images)
    if table is not None and not table.is_file():
        problems.append(f"{table}: there is no such table; correct its path, or leave it out to go by names")
    if problems:
        raise ValueError("\n".join(problems))
    files = [*(images / name for name in names_in(images)), *([table] if table else [])]
    return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def _unread(folder: Path) -> Iterator[str]:
    """Say which images a person put there that no row would be given."""
    files = files_below(folder)
    others = [str(file.relative_to(folder)) for file in files if file.suffix.lower() in _OTHERS]
    if others:
        yield f"{folder}: {some_of(others)}: only PNG and TIFF are read; save them as PNG, or take them out"
    unnamed = [printable(name) for name in names_in(folder) if printable(name) != name]
    if unnamed:
        yield f"{folder}: {some_of(unnamed)}: the name is no UTF-8; rename it"
    deeper = [str(file.relative_to(folder)) for file in files if file.parent != folder and _is_image(file)]
    if deeper:
        yield f"{folder}: {some_of(deeper)}: lie in folders below, which aren't read; move them up"


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in _ENDINGS and not is_leftover(file.name)


def names_in(folder: Path) -> list[str]:
    """Return the names of the images, those with -2 before those with -10."""
    names = sorted(file.name for file in folder.iterdir() if _is_image(file) and file.is_file())
    return sorted(names, key=lambda name: re.sub("[0-9]+", lambda digits: digits[0].zfill(20), Path(name).stem))


def read_image(path: Path, size: int) -> Pixels:
    """Return an image as it is, uint8 or uint16 (3, H, W); the error says what is wrong with it and what to do."""
    pixels: Pixels
    try:
        if path.suffix.lower() == ".png":
            # Pillow, since GDAL takes a file that was cut off for a whole one. It makes 8 bit of 16 without a word,
            # so the depth is read where every PNG has it (W3C PNG, 11.2.1).
            with Image.open(path, formats=["PNG"]) as image:
                if image.mode not in ("RGB", "RGBA") or path.read_bytes()[24] != 8:
                    raise ValueError("is no PNG of RGB with 8 bit; save it as that, or as TIFF")
                pixels = np.asarray(image).transpose(2, 0, 1)
        else:
            with rasterio.open(path, driver="GTiff") as dataset:
                pixels = dataset.read()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"can't be read; save it again ({type(error).__name__})") from error
    n_bands, height, width = pixels.shape
    if pixels.dtype not in (np.uint8, np.uint16) or n_bands not in (3, 4):
        raise ValueError(f"has {n_bands} bands of {pixels.dtype}; save it as RGB with 8 or 16 bit")
    if (pixels[3:] != np.iinfo(pixels.dtype).max).any():
        raise ValueError("is transparent in places; save it as RGB, without alpha")
    if height != width or height % size:
        raise ValueError(f"is {width} x {height} px; make it a square of {size} px, or of a whole multiple of that")
    return pixels[:3]


def as_dn(pixels: Pixels, size: int, dn_max: int) -> npt.NDArray[np.uint16]:
    """Return DN (3, size, size): the mean over the area of each pixel, rounded once."""
    factor = pixels.shape[1] // size
    mean = pixels.reshape(3, size, factor, size, factor).mean(axis=(2, 4), dtype=np.float64)
    return np.rint(mean * dn_max / 255 if pixels.dtype == np.uint8 else mean).astype(np.uint16)
