"""Reflectance of a piece of a scene, each band computed when it is first asked for.

What several detectors need of the same pixels.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.bands import REFLECTANCE_ADD, REFLECTANCE_MULT
from firefusion_assets.landsat.window_statistics import Field, FixedPoint

Calibration = Mapping[str, tuple[float, float]]
"""MTL's REFLECTANCE_MULT_BAND_n and REFLECTANCE_ADD_BAND_n of each band."""

LANDSAT_8: Final[Calibration] = {f"B{n}": (REFLECTANCE_MULT, REFLECTANCE_ADD) for n in (*range(1, 8), 9)}
"""Calibration of Landsat-8 level-1 products, B1 to B7 and B9."""


class Reflectance:
    """Top-of-atmosphere reflectance of level-1 DN in double precision.

    reflectance' = M DN + A; corrected for the sun: reflectance' / sin(sun elevation) (USGS Landsat 8 Data Users
    Handbook, section 5). Many ratios of two bands lie exactly on a detector's threshold; there rounding
    decides, so the order of the operations is part of the result.

    Args:
        bands: uint16 DN (H, W) by band.
        calibration: M and A of each band.
        sun_elevation: degrees above the horizon; only needed for corrected reflectance.
    """

    def __init__(
        self, bands: Mapping[str, npt.NDArray[np.uint16]], calibration: Calibration, sun_elevation: float | None
    ) -> None:
        self._bands, self._calibration = bands, calibration
        self._uncorrected: dict[int, Field] = {}
        self._corrected: dict[int, Field] = {}
        self.sine = np.sin(np.radians(sun_elevation)) if sun_elevation is not None else np.nan

    def uncorrected(self, *numbers: int) -> list[Field]:
        """Return reflectance' of bands by their numbers, float64 (H, W) each."""
        for n in numbers:
            if n not in self._uncorrected:
                mult, add = self._calibration[f"B{n}"]
                field = self._bands[f"B{n}"] * np.float64(mult)
                field += add
                self._uncorrected[n] = field
        return [self._uncorrected[n] for n in numbers]

    def corrected(self, *numbers: int) -> list[Field]:
        """Return reflectance corrected for the sun of bands by their numbers, float64 (H, W) each."""
        for n, field in zip(numbers, self.uncorrected(*numbers), strict=True):
            if n not in self._corrected:
                self._corrected[n] = field / self.sine
        return [self._corrected[n] for n in numbers]

    @cached_property
    def ratio75(self) -> Field:
        """r7 / r5, the same with and without correction: float64 (H, W), infinite or NaN where r5 is 0."""
        r5, r7 = self.uncorrected(5, 7)
        with np.errstate(divide="ignore", invalid="ignore"):
            return r7 / r5

    @cached_property
    def summable_ratio75(self) -> FixedPoint:
        """r7 / r5 for sums over windows."""
        return FixedPoint(self.ratio75)

    @cached_property
    def summable_r7(self) -> FixedPoint:
        """Reflectance' of B7 for sums over windows."""
        return FixedPoint(*self.uncorrected(7))
