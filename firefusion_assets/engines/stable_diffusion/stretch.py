"""DN to the range -1..1 that Stable Diffusion was trained on, and back, without passing through 8 bit.

With ``max`` the largest DN, all three kinds rise strictly from 0 -> -1 to max -> 1, for each band:

- `linear`: v = 2 DN / max - 1.
- `percentile`: straight between 0 -> -1, 1st percentile -> -0.9, 99th percentile -> 0.5 and max -> 1.
- `asinh`: v = 2 (a(DN) - a(0)) / (a(max) - a(0)) - 1 with a(DN) = arcsinh((DN - median) / IQR).

Ground lies in a small part of the sensor's range, so `linear` leaves it almost without contrast and spends the
rest of -1..1 on what is hardly ever seen. The other two give ground a wide part, and still keep hot fires apart
from it and from each other, which a cut at a percentile would not.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

from firefusion_assets.patchstore import PatchPart
from firefusion_assets.patchstore.statistics import band_quantiles

Kind = Literal["linear", "percentile", "asinh"]
Array = npt.NDArray[np.float64]


class Stretch(BaseModel):
    """An equation with constants for each band.

    Every whole DN that is turned into float32 and back rounds to itself.

    Attributes:
        kind: which equation; see the module.
        low: DN for each band: 0 (`linear`), 1st percentile (`percentile`) or median (`asinh`).
        high: DN for each band: largest DN (`linear`), 99th percentile (`percentile`) or median + IQR (`asinh`).
        dn_max: largest DN.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    low: tuple[int, ...]
    high: tuple[int, ...]
    dn_max: int

    @model_validator(mode="after")
    def _rises_strictly(self) -> Self:
        if len(self.low) != len(self.high):
            raise ValueError(f"low has {len(self.low)} bands, high has {len(self.high)}")
        for low, high in zip(self.low, self.high, strict=True):
            fits = {
                "linear": (low, high) == (0, self.dn_max),
                "percentile": 0 < low < high < self.dn_max,
                "asinh": 0 <= low < high,
            }
            if not fits[self.kind]:
                raise ValueError(f"low {low} and high {high} don't fit kind {self.kind} and dn_max {self.dn_max}")
        return self

    def to_model(self, dn: npt.NDArray[np.uint16] | npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return float32 (..., C, H, W) within -1..1 of DN (..., C, H, W); DN outside 0..`dn_max` are clipped."""
        values = np.empty(dn.shape, np.float32)
        for band in range(len(self.low)):
            straight, onto = self._knots(band)
            clipped = np.clip(dn[..., band, :, :].astype(np.float64), 0, self.dn_max)
            values[..., band, :, :] = np.interp(self._straightened(clipped, band), straight, onto)
        return values

    def to_dn(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return float32 DN (..., C, H, W) within 0..`dn_max`, not rounded; values outside -1..1 are clipped."""
        dn = np.empty(values.shape, np.float32)
        for band in range(len(self.low)):
            straight, onto = self._knots(band)
            bent = self._bent(np.interp(values[..., band, :, :], onto, straight), band)
            dn[..., band, :, :] = np.clip(bent, 0, self.dn_max)
        return dn

    def _knots(self, band: int) -> tuple[Array, Array]:
        """Return straightened DN, rising, and the values in -1..1 that they are mapped onto."""
        if self.kind == "percentile":
            dn, onto = [0, self.low[band], self.high[band], self.dn_max], [-1, -0.9, 0.5, 1]
        else:
            dn, onto = [0, self.dn_max], [-1, 1]
        return self._straightened(np.array(dn, np.float64), band), np.array(onto, np.float64)

    def _straightened(self, dn: Array, band: int) -> Array:
        """Return what is piecewise linear in the model's values: arcsinh for `asinh`, otherwise DN itself."""
        if self.kind != "asinh":
            return dn
        straight: Array = np.arcsinh((dn - self.low[band]) / (self.high[band] - self.low[band]))
        return straight

    def _bent(self, straight: Array, band: int) -> Array:
        """Return the DN of `_straightened`."""
        if self.kind != "asinh":
            return straight
        return np.sinh(straight) * (self.high[band] - self.low[band]) + self.low[band]


def fit_stretch(kind: Kind, train: PatchPart, bands: Sequence[str], seed: int) -> Stretch:
    """Measure a stretch's constants on valid pixels of up to 256 patches of the train part.

    Args:
        kind: which equation.
        train: the patches to measure.
        bands: names of the bands to stretch, in the order of the stretch's channels.
        seed: of the choice of patches.

    Raises:
        ValueError: if the store lacks a band.
    """
    dn_max = train.meta.dn_max
    if kind == "linear":
        low, high = np.zeros(len(bands), np.int64), np.full(len(bands), dn_max)
    else:
        channels = [train.meta.bands.index(band) for band in bands]
        first, quarter, median, three_quarters, last = band_quantiles(train, seed, (0.01, 0.25, 0.5, 0.75, 0.99))[
            :, channels
        ]
        if kind == "percentile":
            low = np.clip(first, 1, dn_max - 2)
            high = np.clip(last, low + 1, dn_max - 1)
        else:
            low, high = median, median + np.maximum(three_quarters - quarter, 1)
    return Stretch(kind=kind, low=tuple(low.tolist()), high=tuple(high.tolist()), dn_max=dn_max)
