"""The gallery: painted patches, accepted and rejected, with the reasons in words and every score to sort them by.

The page's words and looks are in gallery.html. Equal inputs give equal bytes.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image

from firefusion_assets.core.pictures import Composite, Picture, data_uri, png_bytes
from firefusion_assets.report.histograms import title_of
from firefusion_assets.report.inputs import PaintedExample
from firefusion_assets.report.sheets import painted_tiles
from firefusion_assets.report.templates import template

_SIDE: Final = 128
"""px of a picture's side at most; the page shows small ones enlarged."""

_TILES: Final = (0, 2, 3, 4)
"""Which of `PAINTED_COLUMNS` the page shows."""


class Painted(NamedTuple):
    """One patch of a gallery.

    Attributes:
        example: its pictures and verdict.
        scores: by name; missing (nan) where not measured.
    """

    example: PaintedExample
    scores: Mapping[str, float]


def write_gallery(
    title: str,
    patches: Iterable[Painted],
    composite: Composite,
    histograms: Path | None,
    limits: Mapping[str, float],
    words: str,
    path: Path,
) -> None:
    """Write the page.

    Args:
        title: its heading.
        patches: what to show; read one after the other.
        composite: shows the patches' bands.
        histograms: the PNG of the scores' histograms, if there is one.
        limits: of scores, where there is one for all patches.
        words: a paragraph that stands above the pictures.
        path: the HTML file.
    """
    shown: list[dict[str, Any]] = [
        {
            "caption": example.caption,
            "accepted": example.accepted,
            "reason": example.reason,
            "tiles": [_embed(tile) for place, tile in enumerate(painted_tiles(example, composite)) if place in _TILES],
            "scores": {name: score for name, score in scores.items() if not math.isnan(score)},
        }
        for example, scores in patches
    ]
    names = list(dict.fromkeys(name for one in shown for name in one["scores"]))
    page = template("gallery.html").render(
        title=title,
        words=words,
        patches=shown,
        names=names,
        limits=limits,
        title_of=title_of,
        histograms=data_uri(histograms.read_bytes()) if histograms else None,
    )
    path.write_text(page, encoding="utf-8")


def _embed(tile: Picture) -> str:
    image = Image.fromarray(tile)
    if max(image.size) > _SIDE:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return data_uri(png_bytes(image))
