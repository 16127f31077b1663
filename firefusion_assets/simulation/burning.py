"""What a scene's fires do to a window: char, flames, smouldering ground, smoke.

Heat and its physics; `fires` says where fires are. A burning pixel is a small share of its area at
flame temperature; how small follows from the reflectance drawn for B7, where Landsat sees flames best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from math import cos, pi, radians, sin

import numpy as np
from scipy.special import ndtr

from firefusion_assets.landsat.bands import BAND_CENTRES, SOLAR_IRRADIANCE
from firefusion_assets.simulation.fires import Fire, fires_near
from firefusion_assets.simulation.landcover import water_depth
from firefusion_assets.simulation.scenes import Scene
from firefusion_assets.simulation.textures import Field, Window, fractal, level_of, ramp, white

LABEL_EXCESS = 0.10
"""Reflectance' that fire must add to B7, as the optics show it, for a pixel to be labelled."""
_EXCESS = (0.7, 0.75)
"""Median and sigma (of the logarithm) of the flames' reflectance' in B7; the blur leaves about 0.5."""
_FLAMES = (800.0, 1300.0)
"""Range of flame temperatures in K."""
EMBERS = (350.0, 600.0)
"""Range of temperatures of smouldering ground in K."""


@dataclass
class Burning:
    """The fires in a window; every field is (H, W).

    Attributes:
        char: share of the pixel that is charred.
        excess: reflectance' in B7 of the flames alone, before any blur.
        flames: temperature of the flames in K; the range's lower end where there are none.
        embers_share: share of the pixel that smoulders.
        embers: temperature of the smouldering ground in K; the range's lower end where there is none.
        smoke: nominal optical depth of smoke.
    """

    char: Field
    excess: Field
    flames: Field
    embers_share: Field
    embers: Field
    smoke: Field

    def flames_share(self, day: date) -> Field:
        """Return the share of each pixel that must be in flames for the excess."""
        return np.minimum(self.excess / fire_reflectance("B7", self.flames, day), 1.0)


def burning(scene: Scene, window: Window) -> Burning:
    """Return what all fires do to a window."""
    char, excess, flames, embers_share, embers, smoke = np.zeros((6, *window.shape))
    state = Burning(char, excess, flames + _FLAMES[0], embers_share, embers + EMBERS[0], smoke)
    for fire in fires_near(scene, window):
        part = window.within(fire.row, fire.column, 2 * fire.length + 3)
        if part.height and part.width:
            _burn(scene, fire, part, state, window.slices(part))
        if fire.smoke:
            part = window.within(fire.row, fire.column, fire.plume)
            if part.height and part.width:
                state.smoke[window.slices(part)] += _plume(fire, part)
    return state


def flames_in(window: Window, layer: Callable[[str], int]) -> tuple[Field, Field]:
    """Return what flames all over a window would add to B7 (reflectance'), and their temperature in K.

    Args:
        window: where.
        layer: gives the seed of each random field by its name.
    """
    heat = fractal(layer("heat"), window, 8, hurst=0.4) * 0.8 + white(layer("flicker"), window) * 0.6
    coolness = fractal(layer("flames"), window, 5)
    temperature = _FLAMES[0] + (_FLAMES[1] - _FLAMES[0]) * ndtr(0.5 + 0.8 * heat - 0.6 * coolness)
    return _EXCESS[0] * np.exp(_EXCESS[1] * heat), temperature


def _burn(scene: Scene, fire: Fire, window: Window, state: Burning, place: tuple[slice, slice]) -> None:
    """Add one fire to the part of the state that it can touch."""
    along, across = _wind_axes(fire, window)
    if not fire.is_spot:
        # Warped coordinates make the edge ragged at all scales; the warp is bounded, and so is the fire.
        for axis, coordinate in enumerate((along, across)):
            warp = fractal(fire.layer("edge", axis), window, max(fire.length, 4.0), smallest=1.5, hurst=0.8)
            coordinate += 0.28 * fire.breadth * np.clip(warp, -2.5, 2.5)
    q = np.sqrt((along / fire.length) ** 2 + (across / fire.breadth) ** 2)
    depth = (1 - q) * fire.breadth
    depth = np.where(water_depth(scene, window) < -0.1, depth, -1.0)  # px inside the edge; water does not burn
    if fire.length > 1:
        left_over = 0.3 * ndtr(fractal(fire.layer("left over"), window, 16, hurst=0.4))
        char = fire.scar * (1 - left_over) * ramp(depth, -0.5, 1.0)
        state.char[place] = np.maximum(state.char[place], char)
    if not fire.active:
        return

    excess, flames = flames_in(window, fire.layer)
    # The head of the fire burns on; the gaps are at the back and where the field is low.
    liveliness = fractal(fire.layer("liveliness"), window, max(fire.length / 2, 6.0), smallest=4)
    liveliness += 0.8 * along / fire.length
    lively = liveliness - 1.28 * level_of(0.999 * fire.active)  # 1.28: spread of both terms together
    alight = (depth >= 0) & (lively > 0) & (depth < fire.front * (0.5 + ramp(lively, 0, 1.5)))
    glowing = (depth >= fire.front) & (white(fire.layer("glowing"), window) > 2.7)
    centre = (window.rows == fire.row) & (window.columns == fire.column)
    if fire.is_spot:
        excess = np.where(centre, np.maximum(excess, _EXCESS[0]), excess)  # a spot is a fire that one can see
    excess = np.where(alight, excess, np.where(glowing, 0.5 * excess, 0.0))
    state.flames[place] = np.where(excess > state.excess[place], flames, state.flames[place])
    state.excess[place] = np.maximum(state.excess[place], excess)

    glow = fractal(fire.layer("embers"), window, 6, hurst=0.3)
    embers_share = 0.12 * ndtr(glow) * ramp(depth, -0.5, 0.5) * ramp(-depth, -5 * fire.front, -fire.front)
    hotter = embers_share > state.embers_share[place]
    embers = EMBERS[0] + (EMBERS[1] - EMBERS[0]) * ndtr(glow - 0.8)
    state.embers[place] = np.where(hotter, embers, state.embers[place])
    state.embers_share[place] = np.maximum(state.embers_share[place], embers_share)


def _wind_axes(fire: Fire, window: Window) -> tuple[Field, Field]:
    """Return px from the fire's centre down the wind and across it."""
    down, right = window.rows - fire.row, window.columns - fire.column
    return down * cos(fire.wind) + right * sin(fire.wind), right * cos(fire.wind) - down * sin(fire.wind)


def _plume(fire: Fire, window: Window) -> Field:
    """Return the optical depth of a fire's smoke: it widens, meanders and thins down the wind."""
    along, across = _wind_axes(fire, window)
    travelled = along - 0.2 * fire.length  # the head burns most
    meander = fractal(fire.layer("meander"), window, fire.length + 8, smallest=3)
    meander *= 1 + 0.12 * np.maximum(travelled, 0)
    width = 0.5 * fire.breadth + 0.14 * np.maximum(travelled, 0)
    puffs = np.maximum(0.75 + 0.75 * fractal(fire.layer("puffs"), window, 12, hurst=0.4), 0)
    profile = np.exp(-(((across + meander) / width) ** 2)) * (0.5 * fire.breadth / width) ** 0.7
    # Bounded by a circle, so that every window agrees on where the plume has vanished.
    distance = np.sqrt(along * along + across * across) / (0.999 * fire.plume)
    risen, left = ramp(travelled, 0, 0.5 * fire.length), 1 - ramp(distance, 0.3, 1.0)
    return fire.smoke * puffs * profile * risen * left


def planck(wavelength: float, temperature: Field) -> Field:
    """Return black-body radiance in W/(m2 sr um) by Planck's law (CODATA 2018 constants).

    Args:
        wavelength: in um.
        temperature: in K, above 0.
    """
    radiance: Field = 1.191042972e8 / wavelength**5 / np.expm1(14387.76877 / (wavelength * temperature))
    return radiance


def fire_reflectance(band: str, temperature: Field, day: date) -> Field:
    """Return the reflectance' (not corrected for the sun) of a pixel full of fire at a temperature.

    pi B(wavelength, T) d^2 / E0; the earth's distance d from the sun in au is
    1 - 0.01672 cos(0.9856 deg (day of year - 4)).

    Args:
        band: a reflective band.
        temperature: in K.
        day: day of the pass.
    """
    distance = 1 - 0.01672 * cos(radians(0.9856 * (day.timetuple().tm_yday - 4)))
    return pi * planck(BAND_CENTRES[band], temperature) * distance**2 / SOLAR_IRRADIANCE[band]
