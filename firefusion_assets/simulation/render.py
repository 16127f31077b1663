"""A window of a scene as Landsat 8 sees it: DN of all ten bands, and the fire label.

What light goes through between ground and DN is put in order here; each part is described in its own module.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.bands import (
    FILE_BANDS,
    RADIANCE_ADD,
    RADIANCE_MULT,
    REFLECTANCE_ADD,
    REFLECTANCE_MULT,
    THERMAL_BANDS,
)
from firefusion_assets.simulation.atmosphere import Air, air
from firefusion_assets.simulation.burning import LABEL_EXCESS, Burning, burning, fire_reflectance
from firefusion_assets.simulation.landcover import ground
from firefusion_assets.simulation.optics import AIR, blurred, blurred_heat, fold, thermal_radiance
from firefusion_assets.simulation.scenes import Scene
from firefusion_assets.simulation.textures import Field, Window, uniform, white

_MARGIN = 10
"""px around a window that blurs and slopes look at."""


class Rendered(NamedTuple):
    """A rendered window.

    Attributes:
        dn: uint16 (10, H, W), 1..65535, in the order of FILE_BANDS.
        label: bool (H, W).
    """

    dn: npt.NDArray[np.uint16]
    label: npt.NDArray[np.bool_]


def render(scene: Scene, window: Window) -> Rendered:
    """Return DN and label of a window; the same pixel has the same DN in every window that holds it."""
    wide = window.padded(_MARGIN)
    fires, sky, land = burning(scene, wide), air(scene, wide), ground(scene, wide)
    land.paint("char", fires.char)
    reflectance, caused = _reflective(scene, land.reflectance, fires, sky)
    radiance = _thermal(scene, land.temperature, fires, sky)

    inner = (..., slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
    dn = np.concatenate(
        [
            (reflectance[inner] - REFLECTANCE_ADD) / REFLECTANCE_MULT,
            (radiance[inner] - RADIANCE_ADD) / RADIANCE_MULT,
        ]
    )
    for index, band in enumerate(FILE_BANDS):
        dn[index] += 12 * white(scene.layer("sensor", band), window)
    label = caused[inner] >= LABEL_EXCESS
    fold(dn[FILE_BANDS.index("B7")], uniform(scene.layer("fold"), window.rows, window.columns))
    return Rendered(np.clip(np.rint(dn), 1, 65535).astype(np.uint16), label)


def _reflective(scene: Scene, surface: Field, fires: Burning, sky: Air) -> tuple[Field, Field]:
    """Return reflectance' of B1 to B7 and B9, (8, H, W), and what fire has added to B7, (H, W), both blurred.

    reflectance' = (1 - f) background + f pi B(wavelength, T) d^2 / E0, for flames and for smouldering
    ground; the background shines by the sun and so goes with the sine of its elevation.
    """
    background = np.concatenate([sky.over(surface, fires.smoke), sky.cirrus_reflectance[None]])
    background *= np.sin(np.radians(scene.sun_elevation))
    flames_share = fires.flames_share(scene.acquired)
    total = background.copy()
    for index, band in enumerate(FILE_BANDS[:7]):
        fire = flames_share * fire_reflectance(band, fires.flames, scene.acquired)
        fire += fires.embers_share * fire_reflectance(band, fires.embers, scene.acquired)
        total[index] += sky.transmission * (fire - (flames_share + fires.embers_share) * background[index])
    return blurred(total), blurred(total[6] - background[6])


def _thermal(scene: Scene, temperature: Field, fires: Burning, sky: Air) -> Field:
    """Return radiance of B10 and B11, (2, H, W) in W/(m2 sr um): areas mix as radiance, then pixels blur."""
    flames_share = fires.flames_share(scene.acquired)
    radiance = np.empty((2, *temperature.shape))
    for index, band in enumerate(THERMAL_BANDS):
        ground_share = 1 - flames_share - fires.embers_share
        surface = ground_share * thermal_radiance(band, temperature)
        surface += flames_share * thermal_radiance(band, fires.flames)
        surface += fires.embers_share * thermal_radiance(band, fires.embers)
        clear, air_temperature = AIR[band]
        seen = clear * surface + (1 - clear) * thermal_radiance(band, air_temperature)
        seen += sky.cloud * (thermal_radiance(band, sky.cloud_temperature) - seen)
        radiance[index] = blurred_heat(seen)
    return radiance
