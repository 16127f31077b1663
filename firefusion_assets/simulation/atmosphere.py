"""What is between ground and sensor: haze, cloud and its shadow, cirrus.

Smoke belongs to the fires; scattering by it and by cloud is applied here alike.
"""

from dataclasses import dataclass
from math import radians, tan

import numpy as np

from firefusion_assets.simulation.scenes import Scene
from firefusion_assets.simulation.textures import Field, Window, fractal, level_of, ramp, smooth

RAYLEIGH = np.array([0.090, 0.067, 0.039, 0.022, 0.007, 0.001, 0.0])[:, None, None]
"""Reflectance of clear air in B1 to B7."""
_AEROSOL = np.array([1.25, 1.15, 1.0, 0.85, 0.6, 0.25, 0.15])[:, None, None]
"""Scattering of haze against that in the green."""
_CLOUD = np.array([0.62, 0.62, 0.61, 0.63, 0.66, 0.46, 0.33])[:, None, None]
"""Reflectance of thick water cloud in B1 to B7."""
_SMOKE = np.array([0.34, 0.33, 0.31, 0.30, 0.28, 0.25, 0.22])[:, None, None]
"""Reflectance of thick smoke in B1 to B7."""
_SMOKE_DEPTH = np.array([1.15, 1.05, 0.85, 0.68, 0.33, 0.06, 0.02])[:, None, None]
"""Optical depth of smoke in B1 to B7 against its nominal one: too fine to veil the infrared."""
_CIRRUS = 0.4
"""Reflectance of thick cirrus in all bands."""


@dataclass(frozen=True)
class Air:
    """The air over a window; every field is (H, W).

    Attributes:
        haze: reflectance of aerosol in the green.
        cloud: opacity of cloud, 0..1.
        shadow: share of sunlight that cloud keeps off the ground, 0..1.
        cirrus: opacity of cirrus, 0..1.
        cloud_temperature: of cloud tops in K.
    """

    haze: Field
    cloud: Field
    shadow: Field
    cirrus: Field
    cloud_temperature: Field

    def over(self, reflectance: Field, smoke: Field) -> Field:
        """Return the reflectance (7, H, W) at the top of the atmosphere of surface reflectance (7, H, W).

        Args:
            reflectance: of the ground.
            smoke: nominal optical depth of smoke.
        """
        path = RAYLEIGH + _AEROSOL * self.haze
        seen = path + (1 - 1.4 * path) * reflectance * (1 - 0.7 * self.shadow)
        seen += (1 - np.exp(-_SMOKE_DEPTH * smoke)) * (_SMOKE - seen)
        seen += self.cloud * (_CLOUD - seen)
        seen += self.cirrus * (_CIRRUS - seen)
        return seen

    @property
    def transmission(self) -> Field:
        """Share of a fire's infrared light that passes cloud and cirrus."""
        return (1 - self.cloud) * (1 - self.cirrus)

    @property
    def cirrus_reflectance(self) -> Field:
        """Reflectance of B9: water vapour hides all but what is high up."""
        return 0.0008 + _CIRRUS * self.cirrus * 0.8 + 0.012 * self.cloud * self.cloud


def air(scene: Scene, window: Window) -> Air:
    """Return the air over a window."""
    cover = cloud(scene, window)
    # The shadow is the cloud's field moved away from the sun by its height of about 1,200 m.
    reach = round(1200 / tan(radians(scene.sun_elevation)) / 30 / 2**0.5)
    south = reach if scene.centre[0] > 0 else -reach
    shadow = cloud(scene, window.shifted(south, reach))
    haze = 1 + 0.35 * fractal(scene.layer("haze"), window, 400, smallest=50)
    cirrus = fractal(scene.layer("cirrus"), window, 200, smallest=12, hurst=0.9)
    tops = 286 + 3 * smooth(scene.layer("cloud tops"), window, 40) - 6 * cover
    return Air(
        haze=scene.biome.haze * np.maximum(haze, 0.2),
        cloud=cover,
        shadow=shadow,
        cirrus=0.10 * ramp(cirrus, 1.0, 3.2),
        cloud_temperature=tops,
    )


def cloud(scene: Scene, window: Window) -> Field:
    """Return the opacity (H, W) of cumulus: tops of a rough field, gathered where a broader one is high."""
    bank = smooth(scene.layer("cloud bank"), window, 220)
    puffs = fractal(scene.layer("cloud"), window, 40, hurst=0.75)
    return 0.95 * ramp(0.8 * bank + 0.6 * puffs - level_of(scene.biome.cloud), -0.05, 0.7)
