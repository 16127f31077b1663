"""Cloud, cirrus, snow and water of a patch: the quality band's word where there is one, else a rule on reflectance.

Measures what pixels show; `inpainting.backgrounds` says which patches are good enough to paint on.
"""

from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.bands import CONDITION_BANDS
from firefusion_assets.landsat.detectors import Bands, Mask
from firefusion_assets.landsat.products.quality import Quality
from firefusion_assets.landsat.reflectance import LANDSAT_8, Calibration

Field = npt.NDArray[np.float32]

CIRRUS_BAND: Final = "B9"
"""The band that tells cirrus besides, where it is at hand."""

CIRRUS: Final = 0.015
"""Reflectance' of B9 above which a pixel is cirrus; so 98 % of a real product's pixels agree with its quality band."""

_LINES: Final = 64
"""Lines that the rule takes at once: their arrays stay in a processor's cache."""

_PLANES: Final = ("cloud", "cirrus", "shadow", "snow", "water")

CONDITION_COLUMNS: Final = ("conditions", "clear_share", *(f"{plane}_share" for plane in _PLANES))
"""What the table of patches says of a patch's pixels with data: shares of them, NaN where unknown. `clear` is neither
cloud nor cirrus nor shadow; `conditions` says by what: `quality band`, `reflectance`, or nothing (empty)."""


def by_reflectance(bands: Bands, sun_elevation: float, calibration: Calibration = LANDSAT_8) -> dict[str, Mask]:
    """Tell cloud, snow and water, and cirrus where there is B9, by thresholds: bool (H, W) each.

    The scheme of Luo, Trishchenko and Khlopenkov (2008, Remote Sensing of Environment 112, 4167-4185) on blue, red,
    near and shortwave infrared of Landsat (Oreopoulos et al. 2011, IEEE Geoscience and Remote Sensing Letters 8,
    597-601; without their changes to the last step, which on a real product miss three of four cloud pixels).

    Args:
        bands: uint16 DN (H, W), at least `CONDITION_BANDS`.
        sun_elevation: degrees above the horizon.
        calibration: M and A of the bands.
    """
    sine = np.sin(np.radians(sun_elevation))
    names = [band for band in (*CONDITION_BANDS, CIRRUS_BAND) if band in bands]
    constants = {band: calibration[band] for band in names}
    parts = []
    for top in range(0, len(bands["B2"]), _LINES):
        uncorrected = {
            band: bands[band][top : top + _LINES] * np.float32(mult) + np.float32(add)
            for band, (mult, add) in constants.items()
        }
        part = _scheme(*(uncorrected[band] / np.float32(sine) for band in CONDITION_BANDS))
        if CIRRUS_BAND in uncorrected:
            part["cirrus"] = uncorrected[CIRRUS_BAND] > CIRRUS
        parts.append(part)
    return {plane: np.concatenate([part[plane] for part in parts]) for plane in parts[0]}


def _scheme(blue: Field, red: Field, near: Field, shortwave: Field) -> dict[str, Mask]:
    """Decide for each pixel from reflectance corrected for the sun, float32 (H, W)."""
    bare = (blue < red) & (red < near) & (near < 1.07 * shortwave) & (shortwave < 0.65)
    bare |= (0.8 * blue < red) & (red < 0.8 * near) & (near < shortwave) & (red < 0.22)
    snow = (red > 0.24) & (shortwave < 0.16) & (red > near)
    snow |= (red < 0.24) & (red > 0.18) & (shortwave < red - 0.08) & (red > near)
    snow &= ~bare
    water = (red > near) & (red > 0.67 * shortwave) & (blue < 0.30) & (red < 0.20)
    water |= (red > 0.8 * near) & (red > 0.67 * shortwave) & (red < 0.06)
    water &= ~(bare | snow)
    cloud = ((blue > 0.15) | (red > 0.18)) & (shortwave > 0.12) & (np.maximum(blue, red) > 0.67 * shortwave)
    cloud &= ~(bare | snow | water)
    return {"cloud": cloud, "snow": snow, "water": water}


def condition_columns(
    bands: Bands,
    valid: Mask,
    sun_elevation: float,
    quality: Quality | None = None,
    calibration: Calibration = LANDSAT_8,
) -> dict[str, Any]:
    """Return `CONDITION_COLUMNS` of a patch.

    Args:
        bands: uint16 DN (H, W) by name.
        valid: bool (H, W), pixels with data.
        sun_elevation: degrees above the horizon; NaN if unknown, then reflectance tells nothing.
        quality: of the patch's pixels, if its product has a quality band. Where that doesn't know water,
            reflectance is asked.
        calibration: M and A of the bands.
    """
    planes: dict[str, Mask] = {}
    if quality is not None:
        planes = {plane: mask for plane in _PLANES if (mask := getattr(quality, plane)) is not None}
    source = "quality band" if planes else ""
    # A patch made from a preview holds zeros in the other bands.
    has_bands = all(band in bands and ((bands[band] > 0) & valid).any() for band in CONDITION_BANDS)
    if "water" not in planes and has_bands and sun_elevation > 0:
        seen = by_reflectance(bands, sun_elevation, calibration)
        planes = planes | {"water": seen["water"]} if planes else seen
        source = source or "reflectance"
    n_valid = np.count_nonzero(valid)
    if not planes or not n_valid:
        return dict.fromkeys(CONDITION_COLUMNS, np.nan) | {"conditions": ""}
    hidden = reduce(np.logical_or, (planes[plane] for plane in ("cloud", "cirrus", "shadow") if plane in planes))
    shares = {
        f"{plane}_share": np.count_nonzero(planes[plane] & valid) / n_valid if plane in planes else np.nan
        for plane in _PLANES
    }
    return {"conditions": source, "clear_share": 1 - np.count_nonzero(hidden & valid) / n_valid, **shares}
