"""The rules of the fire detectors once more, pixel by pixel and slowly: what tests and benchmark compare with.

Written from the rules' text, sharing nothing with the package: NaN where a pixel is left out, one window at a time.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bands = Mapping[str, npt.NDArray[np.uint16]]
Field = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Context:
    """What the contextual test of a detector needs: certain fires, candidates (certain ones too), water, background."""

    fire: Mask
    candidate: Mask
    water: Mask
    r7: Field
    ratio: Field
    background: Mask
    half_widths: range

    def stands_out(self, y: int, x: int) -> bool:
        """Whether a candidate is hotter than its background."""
        return self.margin(y, x) > 0

    def margin(self, y: int, x: int) -> float:
        """By how much a candidate passes the closer of its two tests; NaN without background."""
        for half in self.half_widths:
            window = np.s_[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
            background = self.background[window]
            if len(self.half_widths) > 1 and np.count_nonzero(background) < 0.25 * background.size:
                continue
            margins = []
            for field, floor in ((self.ratio, 0.8), (self.r7, 0.08)):
                values = np.where(background, field[window], np.nan)
                margins.append(field[y, x] - np.nanmean(values) - np.maximum(3 * np.nanstd(values), floor))
            return float(np.min(margins))
        return np.nan

    def detected(self) -> Mask:
        """All fires: the certain ones and the candidates that stand out."""
        found = self.fire.copy()
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # windows without background
            for y, x in zip(*np.nonzero(self.candidate), strict=True):
                found[y, x] |= self.stands_out(y, x)
        return found & ~self.water


def reflectances(bands: Bands, sun_elevation: float | None = None) -> list[Field]:
    """Reflectance by band number, B1 to B7; [0] is not used."""
    sine = 1.0 if sun_elevation is None else np.sin(np.radians(sun_elevation))
    return [
        np.empty(0),
        *((bands[f"B{n}"] * 2e-5 - 0.1) / sine if f"B{n}" in bands else np.empty(0) for n in range(1, 8)),
    ]


def neighbourhood(mask: Mask) -> Mask:
    """A mask and its eight neighbours."""
    height, width = mask.shape
    padded = np.pad(mask, 1)
    shifted = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    return np.logical_or.reduce(shifted)


def schroeder_context(bands: Bands) -> Context:
    """Schroeder's rules 1 to 3 and 5."""
    r = reflectances(bands)
    with np.errstate(divide="ignore", invalid="ignore"):
        r75, r76 = r[7] / r[5], r[7] / r[6]
    d75 = r[7] - r[5]
    rule_1 = (r75 > 2.5) & (d75 > 0.3) & (r[7] > 0.5)
    rule_2 = (r[6] > 0.8) & (r[1] < 0.2) & ((r[5] > 0.4) | (r[7] < 0.1))
    water = (r[4] > r[5]) & (r[5] > r[6]) & (r[6] > r[7]) & (r[1] - r[7] < 0.2)
    water &= (r[3] > r[2]) | ((r[1] > r[2]) & (r[2] > r[3]) & (r[3] > r[4]))
    fire = rule_1 | rule_2
    candidate = (r75 > 1.8) & (d75 > 0.17) & (r76 > 1.6)
    return Context(fire, candidate, water, r[7], r75, (r[7] > 0) & ~fire & ~water, range(30, 31))


def kumar_roy_context(bands: Bands, sun_elevation: float) -> Context:
    """Kumar and Roy's rules 1, 2 and 4."""
    r = reflectances(bands, sun_elevation)
    with np.errstate(divide="ignore", invalid="ignore"):
        r75 = r[7] / r[5]
    valid = ~neighbourhood(r[7] <= 0)
    fire = valid & (r[4] <= 0.53 * r[7] - 0.214)
    fire |= valid & neighbourhood(fire) & (r[4] <= 0.35 * r[6] - 0.044)
    potential = valid & ((r[4] <= 0.53 * r[7] - 0.125) | (r[6] <= 1.08 * r[7] - 0.048))
    water = (r[2] > r[3]) & (r[3] > r[4]) & (r[4] > r[5])
    return Context(fire, potential, water, r[7], r75, valid & ~fire & ~potential & ~water, range(2, 31))


def murphy(bands: Bands, sun_elevation: float, saturated: Mask | None = None, published: bool = False) -> Mask:
    """Murphy's rules."""
    r = reflectances(bands, sun_elevation)
    if saturated is None:
        saturated = (bands["B6"] == 65535) | (bands["B7"] == 65535)
    with np.errstate(divide="ignore", invalid="ignore"):
        fire = (r[7] >= 0.15) & (r[7] / r[6] >= 1.4) & (r[7] / r[5] >= 1.4)
        beside = (r[6] >= 0.5) & (published | (r[6] / r[5] >= 2.0))
    return fire | (neighbourhood(fire) & (beside | saturated))
