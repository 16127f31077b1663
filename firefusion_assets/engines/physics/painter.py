"""Painting with engine `physics`: burning ground shines by Planck's law beside what reflects the sun.

reflectance' = (1 - f) background + f pi B(wavelength, T) d^2 / E0, blurred by the optics (Dozier 1981, Remote Sensing
of Environment 11, 221-229). How hot and how large flames are is drawn as the simulation draws it; char and smoke are
not painted, and no core folds to low DN, since the labels are read from what B7 gains.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.engines.blending import feather
from firefusion_assets.engines.contract import compose
from firefusion_assets.landsat.bands import (
    RADIANCE_ADD,
    RADIANCE_MULT,
    REFLECTANCE_ADD,
    REFLECTANCE_MULT,
    THERMAL_BANDS,
)
from firefusion_assets.simulation.burning import EMBERS, LABEL_EXCESS, fire_reflectance, flames_in
from firefusion_assets.simulation.optics import AIR, blurred, blurred_heat, thermal_radiance
from firefusion_assets.simulation.textures import Field, Window, fractal

_DAY: Final = date(2020, 4, 3)
"""When the earth is 1 au from the sun; over the year its distance changes by 1.7 %."""
_EMBERS_SHARE: Final = 0.12
"""Largest share of a pixel beside the flames that smoulders."""

Mask = npt.NDArray[np.bool_]


class _Heat(NamedTuple):
    """What burns in a patch, (H, W) each: shares of the pixels and temperatures in K."""

    flames_share: Field
    flames: Field
    embers_share: Field
    embers: Field


class PhysicsPainter:
    """Paints fires into DN of Landsat-8.

    Args:
        bands: names of all bands of a patch.
        dn_max: the largest DN.
    """

    def __init__(self, bands: Sequence[str], dn_max: int) -> None:
        self._bands, self._dn_max = bands, dn_max

    def paint(
        self, backgrounds: npt.NDArray[np.uint16], labels: Mask, edits: Mask, seeds: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch; see `study.engine.Painter`."""
        painted = np.empty(backgrounds.shape)
        for number, (background, label, edit) in enumerate(zip(backgrounds, labels, edits, strict=True)):
            heat = _drawn(label, edit, int(seeds[number]))
            dn = background.astype(np.float64)
            for place, band in enumerate(self._bands):
                shine = _heated if band in THERMAL_BANDS else _lit
                painted[number, place] = dn[place] + shine(band, dn[place], heat)
        return compose(painted, backgrounds, edits, self._dn_max)


def burning(bands: Sequence[str], before: npt.NDArray[np.uint16], after: npt.NDArray[np.uint16]) -> Mask:
    """Tell where fire has added to B7 what makes a pixel burn in the simulation's labels too, (H, W) of (C, H, W)."""
    b7 = bands.index("B7")
    gained: Mask = after[b7].astype(np.int32) - before[b7] >= LABEL_EXCESS / REFLECTANCE_MULT
    return gained


def _drawn(label: Mask, edit: Mask, seed: int) -> _Heat:
    """Draw flames for the label, and embers for what surrounds it."""
    window, layer = Window(0, 0, *label.shape), partial(derive_seed, seed)
    excess, flames = flames_in(window, layer)
    share = np.where(label, np.minimum(excess / fire_reflectance("B7", flames, _DAY), 1.0), 0.0)
    glow = fractal(layer("embers"), window, 6, hurst=0.3)
    embers_share = np.where(label, 0.0, _EMBERS_SHARE * ndtr(glow) * feather(label, edit))
    return _Heat(share, flames, embers_share, EMBERS[0] + (EMBERS[1] - EMBERS[0]) * ndtr(glow - 0.8))


def _lit(band: str, dn: Field, heat: _Heat) -> Field:
    """Return what fire adds to DN of a reflective band, as the optics blur it."""
    if band == "B9":  # water vapour hides what burns below it
        return np.zeros_like(dn)
    ground = REFLECTANCE_MULT * dn + REFLECTANCE_ADD
    added = heat.flames_share * (fire_reflectance(band, heat.flames, _DAY) - ground)
    added += heat.embers_share * (fire_reflectance(band, heat.embers, _DAY) - ground)
    return blurred(added) / REFLECTANCE_MULT


def _heated(band: str, dn: Field, heat: _Heat) -> Field:
    """Return what fire adds to DN of a thermal band: areas mix as radiance, seen through air that radiates itself."""
    clear, air_temperature = AIR[band]
    ground = RADIANCE_MULT * dn + RADIANCE_ADD - (1 - clear) * thermal_radiance(band, air_temperature)
    added = heat.flames_share * (clear * thermal_radiance(band, heat.flames) - ground)
    added += heat.embers_share * (clear * thermal_radiance(band, heat.embers) - ground)
    return blurred_heat(added) / RADIANCE_MULT
