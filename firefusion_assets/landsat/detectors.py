"""Published active fire detectors on Landsat level-1 bands, as array operations: what the rest of the package uses.

Names, bands, votes, and large scenes strip by strip; `fire_rules` has the rules.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat import fire_rules
from firefusion_assets.landsat.fire_rules import REACH, MurphyMode
from firefusion_assets.landsat.reflectance import LANDSAT_8, Calibration, Reflectance

Bands = Mapping[str, npt.NDArray[np.uint16]]
Mask = npt.NDArray[np.bool_]

SINGLE_DETECTORS: Final = ("schroeder", "murphy", "kumar-roy")
"""The detectors that vote."""

SUNLESS_DETECTORS: Final = ("schroeder",)
"""Those that work without the sun's elevation."""

_ALL: Final = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")

DETECTOR_BANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "schroeder": _ALL,
    "murphy": ("B5", "B6", "B7"),
    "kumar-roy": ("B2", "B3", "B4", "B5", "B6", "B7"),
    "intersection": _ALL,
    "voting": _ALL,
}
"""The bands that each detector needs; `intersection` is where all three agree, `voting` where at least two do."""

SATURATED: Final = 65535
"""DN at which a band is clipped."""

_TILE: Final = 320
"""Width of a tile in px: its arrays fit in a processor's cache, and memory doesn't grow with the scene. A row of
patches of 256 px, with the lines that the windows reach, is one row of tiles."""


def detect(
    names: Iterable[str],
    bands: Bands,
    sun_elevation: float | None = None,
    *,
    saturated: Mask | None = None,
    mode: MurphyMode = "paper",
    calibration: Calibration = LANDSAT_8,
) -> dict[str, Mask]:
    """Run detectors over a patch or a whole scene; each of the three runs once, whoever asks for it.

    The scene is taken tile by tile with the overlap that the windows need; the result doesn't depend on it.
    Fill (DN 0 in all bands) is never fire.

    Args:
        names: of `DETECTOR_BANDS`.
        bands: uint16 DN (H, W) by band name; others than those needed are left alone.
        sun_elevation: degrees above the horizon; `schroeder` alone does without.
        saturated: bool (H, W), pixels whose B6 or B7 is saturated by the quality band; without it, DN 65535 in
            either counts as saturated. Only `murphy` looks at it.
        mode: of `murphy`. Beside a certain fire, `paper` asks for r6 / r5 >= 2 and r6 >= 0.5, or saturation; the masks
            published with the active fire data set leave the ratio out: `published`.
        calibration: the MTL's reflectance constants.

    Returns:
        bool (H, W) by name, in the order of `names`.

    Raises:
        ValueError: for unknown detectors, missing bands, bands of different shapes, or no usable sun elevation.
    """
    names = list(dict.fromkeys(names))
    wanted = [one for one in SINGLE_DETECTORS if one in names or {"intersection", "voting"} & set(names)]
    shape = _checked(names, bands, sun_elevation)
    if saturated is not None and saturated.shape != shape:
        raise ValueError(f"the saturation mask is {saturated.shape} px, the bands are {shape} px")
    found = {one: np.zeros(shape, np.bool_) for one in wanted}
    for outer, inner, place in _tiles(shape) if wanted else ():
        tile = {band: bands[band][outer] for one in wanted for band in DETECTOR_BANDS[one]}
        reflectance = Reflectance(tile, calibration, sun_elevation)
        if "schroeder" in found:
            found["schroeder"][place] = fire_rules.schroeder(reflectance)[inner]
        if "murphy" in found:
            full = saturated[outer] if saturated is not None else (tile["B6"] == SATURATED) | (tile["B7"] == SATURATED)
            found["murphy"][place] = fire_rules.murphy(reflectance, full, mode)[inner]
        if "kumar-roy" in found:
            found["kumar-roy"][place] = fire_rules.kumar_roy(reflectance)[inner]
    for name, combine in (("intersection", intersection), ("voting", voting)):
        if name in names:
            found[name] = combine([found[one] for one in SINGLE_DETECTORS])
    return {name: found[name] for name in names}


def intersection(masks: Iterable[Mask]) -> Mask:
    """Return where all detectors see fire, bool (H, W)."""
    return np.logical_and.reduce(list(masks))


def voting(masks: Iterable[Mask]) -> Mask:
    """Return where at least two detectors see fire, bool (H, W)."""
    return np.add.reduce([mask.view(np.uint8) for mask in masks]) >= 2


def _checked(names: list[str], bands: Bands, sun_elevation: float | None) -> tuple[int, int]:
    """Return the bands' shape; raise a ValueError that names all problems."""
    problems = [f"unknown detector {name!r}; there are {', '.join(DETECTOR_BANDS)}" for name in names
                if name not in DETECTOR_BANDS]  # fmt: skip
    known = [name for name in names if name in DETECTOR_BANDS]
    for name in known:
        missing = [band for band in DETECTOR_BANDS[name] if band not in bands]
        if missing:
            problems.append(f"{name} needs {', '.join(missing)}; given are {', '.join(bands) or 'none'}")
    usable = sun_elevation is not None and 0 < sun_elevation <= 90
    needing = [name for name in known if name != "schroeder"]
    if needing and not usable:
        problems.append(f"{', '.join(needing)} needs a sun elevation above 0 and up to 90 degrees, not {sun_elevation}")
    shapes = {bands[band].shape for name in known for band in DETECTOR_BANDS[name] if band in bands}
    if len(shapes) > 1:
        problems.append(f"the bands differ in shape: {', '.join(map(str, sorted(shapes)))}")
    if problems:
        raise ValueError("; ".join(problems))
    height, width = shapes.pop() if shapes else (0, 0)
    return height, width


Place = tuple[slice, slice]


def _tiles(shape: tuple[int, int]) -> Iterator[tuple[Place, Place, Place]]:
    """Yield tiles: rows and columns with overlap in the scene, those without it in the tile, and in the scene."""
    spans = []
    for length in shape:
        starts = range(0, length, _TILE)
        edges = [(start, min(start + _TILE, length), max(start - REACH, 0)) for start in starts]
        spans.append(
            [
                (slice(outer, min(end + REACH, length)), slice(start - outer, end - outer), slice(start, end))
                for start, end, outer in edges
            ]
        )
    for rows in spans[0]:
        for columns in spans[1]:
            yield (rows[0], columns[0]), (rows[1], columns[1]), (rows[2], columns[2])
