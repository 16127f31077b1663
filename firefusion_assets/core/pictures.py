"""Pictures of patches and masks, and the sheet that puts them side by side.

Pixels become colours here, for the report and for asset metadata.
Colours are white and Okabe and Ito's, which people with any colour vision can tell apart; under masks and
predictions the scene itself is dark grey, so that colour always means a mask.
"""

import base64
import io
import math
import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

MASK_COLOUR: Final = (255, 255, 255)
LABEL_COLOUR: Final = (240, 228, 66)
IGNORE_COLOUR: Final = (204, 121, 167)
HIT_COLOUR: Final = (255, 255, 255)
MISS_COLOUR: Final = (230, 159, 0)
FALSE_ALARM_COLOUR: Final = (86, 180, 233)
PLUME_COLOUR: Final = (0, 114, 178)
SCAR_COLOUR: Final = (213, 94, 0)

_SEVEN_SIX_TWO = {"B7", "B6", "B2"}
_LANDSAT_DN = (5_000.0, 40_000.0)
_GAMMA = 1.6
_SMALLEST_TILE, _LARGEST_TILE = 160, 256
_GAP, _FONT_SIZE = 6, 14
_PAPER, _INK, _CAPTION, _EMPTY = (255, 255, 255), (17, 17, 17), (80, 80, 80), (238, 238, 238)


class Composite:
    """Shows patches in colour.

    Landsat level-1 DN of bands 7-6-2 are stretched from 5,000 (reflectance 0) to 40,000 (0.7), so that pictures can be
    compared; anything else from the 2nd to the 99.8th percentile of its own pixels. DN 0 is fill and black.

    Args:
        bands: names of the patches' bands.
        shown: those that are red, green and blue, or the one that is shown in grey.
    """

    def __init__(self, bands: Sequence[str], shown: Sequence[str]) -> None:
        self._rows = [list(bands).index(band) for band in (shown if len(shown) == 3 else [shown[0]] * 3)]
        self._seven_six_two = set(shown) == _SEVEN_SIX_TWO

    def __call__(self, patch: npt.NDArray[np.uint16]) -> Picture:
        """Return the picture, uint8 (H, W, 3), of a patch, uint16 DN (C, H, W)."""
        shown = patch[self._rows].astype(np.float32)
        valid = shown[shown > 0]
        # Other sensors have bands of these names too; their ground is darker than Landsat's DN of reflectance 0.
        if self._seven_six_two and valid.size and np.median(valid) >= _LANDSAT_DN[0]:
            low, high = _LANDSAT_DN
        else:
            low, high = np.percentile(valid, (2, 99.8)) if valid.size else (0.0, 1.0)
        stretched = np.clip((shown - low) / max(high - low, 1.0), 0, 1) ** (1 / _GAMMA)
        return np.ascontiguousarray(np.rint(255 * stretched).astype(np.uint8).transpose(1, 2, 0))


def outline(picture: Picture, mask: Mask, colour: Colour = MASK_COLOUR) -> Picture:
    """Draw the line of pixels around a mask; what is inside stays to be seen.

    Args:
        picture: uint8 (H, W, 3).
        mask: bool (H, W).
        colour: of the line.

    Returns:
        uint8 (H, W, 3), a new picture.
    """
    drawn = picture.copy()
    drawn[binary_dilation(mask, np.ones((3, 3), bool)) & ~mask] = colour
    return drawn


def on_grey(picture: Picture, *layers: tuple[Mask, Colour]) -> Picture:
    """Turn a picture to dark grey and fill masks on it with colour, later ones on top.

    Args:
        picture: uint8 (H, W, 3).
        *layers: masks, bool (H, W), each with its colour.

    Returns:
        uint8 (H, W, 3), a new picture.
    """
    grey = 20 + picture.mean(axis=2, keepdims=True) * (110 / 255)
    drawn = np.repeat(grey, 3, axis=2).astype(np.uint8)
    for mask, colour in layers:
        drawn[mask] = colour
    return drawn


def contact_sheet(rows: Sequence[Sequence[Picture]], columns: Sequence[str], captions: Sequence[str]) -> Image.Image:
    """Lay pictures out in rows under column titles, each row with its caption above it.

    Small pictures are enlarged by whole factors without smoothing, so that single pixels can be seen; large
    ones are scaled down.

    Args:
        rows: uint8 (H, W, 3) pictures; a short row is filled up with empty tiles.
        columns: titles.
        captions: one for each row.

    Raises:
        ValueError: if rows and captions differ in number, or a row has more pictures than there are columns.
    """
    if len(rows) != len(captions) or any(len(row) > len(columns) for row in rows):
        raise ValueError(
            f"contact sheet: {len(rows)} rows of up to {max(map(len, rows), default=0)} pictures, "
            f"but {len(captions)} captions and {len(columns)} columns"
        )
    tiles = [[_tile(picture) for picture in row] for row in rows]
    side = max((max(tile.size) for row in tiles for tile in row), default=_SMALLEST_TILE)
    width = _GAP + len(columns) * (side + _GAP)
    font = ImageFont.load_default(_FONT_SIZE)
    title_font = ImageFont.load_default(_FONT_SIZE + 2)
    widest = max((font.getlength(caption) / len(caption) for caption in captions if caption), default=1.0)
    characters = int(0.95 * width / widest)
    texts = [textwrap.wrap(caption, characters) for caption in captions]
    line = _FONT_SIZE + 6
    heights = [len(text) * line + side + 2 * _GAP for text in texts]
    sheet = Image.new("RGB", (width, line + _GAP + sum(heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    lefts = [_GAP + column * (side + _GAP) for column in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        draw.text((left, 2), title, fill=_INK, font=title_font)
    top = line + _GAP
    for row, text, height in zip(tiles, texts, heights, strict=True):
        for number, words in enumerate(text):
            draw.text((_GAP, top + number * line), words, fill=_CAPTION, font=font)
        tile_top = top + len(text) * line
        for column, left in enumerate(lefts):
            if column < len(row):
                sheet.paste(row[column], (left, tile_top))
            else:
                draw.rectangle((left, tile_top, left + side - 1, tile_top + side - 1), fill=_EMPTY)
        top += height
    return sheet


def png_bytes(image: Image.Image, limit: int | None = None) -> bytes:
    """Encode a picture as PNG; where it is larger than the limit, with 256 colours and then ever smaller.

    Args:
        image: the picture.
        limit: most bytes; None for no limit.

    Raises:
        ValueError: if no picture can be that small.
    """
    data = _encode(image)
    if limit is None or len(data) <= limit:
        return data
    scale = 1.0
    while True:
        size = tuple(int(scale * length) for length in image.size)
        if min(size) < 1:
            raise ValueError(f"png_bytes: not even one pixel fits into {limit} bytes; allow some thousands")
        # An octree keeps the few pixels of a rare colour, which are the fires here; a median cut merges them.
        smaller = image.convert("RGB").resize((size[0], size[1]), Image.Resampling.BOX)
        data = _encode(smaller.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE))
        if len(data) <= limit:
            return data
        scale *= min(0.95, math.sqrt(limit / len(data)))


def data_uri(png: bytes) -> str:
    """Return a PNG as an address that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def markdown_picture(png: bytes, text: str = "picture") -> str:
    """Return Markdown that shows a PNG without any file; the text stands in where it can't be seen."""
    return f"![{text}]({data_uri(png)})"


def _tile(picture: Picture) -> Image.Image:
    image = Image.fromarray(picture)
    side = max(image.size)
    if side > _LARGEST_TILE:
        scaled = [max(1, round(length * _LARGEST_TILE / side)) for length in image.size]
        return image.resize((scaled[0], scaled[1]), Image.Resampling.BOX)
    factor = math.ceil(_SMALLEST_TILE / side)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
