"""The ground of a scene without fire: surface reflectance and temperature of any window.

Vegetation, fields, water, settlements and relief.
"""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from scipy.special import ndtr

from firefusion_assets.core.seeding import generator
from firefusion_assets.simulation.biomes import COVERS, spectrum
from firefusion_assets.simulation.scenes import Scene
from firefusion_assets.simulation.textures import Field, Window, fractal, level_of, ramp, uniform, white


@dataclass
class Ground:
    """A window of ground that covers are painted on.

    Attributes:
        reflectance: surface reflectance of B1 to B7, float64 (7, H, W).
        temperature: surface temperature in K, float64 (H, W).
        base_temperature: the scene's mean in K, which a cover's own difference is added to.
    """

    reflectance: Field
    temperature: Field
    base_temperature: float

    def paint(self, cover: str, share: Field) -> None:
        """Let a cover take a share, (H, W) in 0..1, of each pixel."""
        self.reflectance += share * (spectrum(cover)[:, None, None] - self.reflectance)
        self.temperature += share * (self.base_temperature + COVERS[cover][1] - self.temperature)


def ground(scene: Scene, window: Window) -> Ground:
    """Return the ground of a window; the outermost pixel on each side may differ from a larger window's."""
    biome = scene.biome
    base = biome.temperature + generator(scene.seed, "warmth").normal(0, 2)
    land = Ground(np.zeros((7, *window.shape)), np.zeros(window.shape), base)
    _paint_natural(scene, window, land)
    _paint_fields(scene, window, land)
    bare = fractal(scene.layer("hot soil"), window, 16, hurst=0.5)
    land.paint("hot soil", 0.85 * ramp(bare, 2.4, 3.2))
    _texture(scene, window, land)
    shore = fractal(scene.layer("shore"), window, 16, smallest=2)
    wet = water_depth(scene, window) + 0.08 * shore
    land.paint(biome.natural[0][0], 0.7 * ramp(wet, -0.25, -0.05))  # vegetation along the banks
    _paint_towns(scene, window, land)
    _shade(scene, window, land)
    land.paint("water", ramp(wet, 0.0, 0.06))
    return land


def water_depth(scene: Scene, window: Window) -> Field:
    """Return a field (H, W) that is positive in lakes and rivers, and the lower the farther from both.

    Lakes are the tops of one field, rivers a level line of another, which winds on without an end.
    """
    tops = fractal(scene.layer("lakes"), window, 48, smallest=3, hurst=1.0)
    lakes = tops - level_of(scene.biome.water)
    course = fractal(scene.layer("river"), window, 300, smallest=9, hurst=1.2)
    rivers = 0.03 - 2.5 * np.abs(course - 0.4)
    depth: Field = np.maximum(lakes, rivers)
    return depth


def _paint_natural(scene: Scene, window: Window, land: Ground) -> None:
    """Paint wild covers as height levels of one field, so that each borders on the next; edges are ragged."""
    broad = fractal(scene.layer("vegetation"), window, 128, smallest=4, hurst=0.6)
    level = ndtr(0.9 * broad + 0.436 * fractal(scene.layer("stands"), window, 8, hurst=0.3))
    reached = 0.0
    for cover, share in scene.biome.natural:
        land.paint(cover, ramp(level, reached - 0.04, reached + 0.04) if reached else np.ones(window.shape))
        reached += share


def _texture(scene: Scene, window: Window, land: Ground) -> None:
    """Vary brightness (all bands alike) and dryness (short-wave against near infrared) at many scales."""
    brightness = 0.09 * fractal(scene.layer("brightness"), window, 64, hurst=0.3)
    brightness += 0.05 * white(scene.layer("grain"), window)
    dryness = 0.09 * fractal(scene.layer("dryness"), window, 128, hurst=0.5)
    tilt = np.array([0.2, 0.3, 0.5, 1.0, -0.5, 0.8, 1.2])[:, None, None]
    land.reflectance *= np.maximum(1 + brightness + tilt * dryness, 0.3)
    land.temperature += 1.2 * fractal(scene.layer("temperature"), window, 48, smallest=3) + 8 * dryness


def _paint_fields(scene: Scene, window: Window, land: Ground) -> None:
    """Paint parcels of crops: blocks of a turned grid, each cut into up to 3 x 3 parcels, with lanes."""
    biome = scene.biome
    if not biome.fields:
        return
    zone = fractal(scene.layer("farmland"), window, 96, smallest=12)
    bend = [0.06 * fractal(scene.layer("field bend", axis), window, 64, smallest=8) for axis in (0, 1)]
    turn = radians(generator(scene.seed, "field angle").uniform(-20, 20))
    along = (window.rows * cos(turn) - window.columns * sin(turn)) / biome.parcel + bend[0]
    across = (window.rows * sin(turn) + window.columns * cos(turn)) / biome.parcel + bend[1]
    block = np.floor(along), np.floor(across)
    cuts = [1 + np.floor(3 * uniform(scene.layer("cut", axis), *block)) for axis in (0, 1)]
    inside = [(along - block[0]) * cuts[0], (across - block[1]) * cuts[1]]
    parcel = (*block, np.floor(inside[0]), np.floor(inside[1]))
    # The farmland's border follows the parcels roughly, as each asks for a little more or less of it.
    farmed = ndtr(zone) + 0.12 * (uniform(scene.layer("farmed"), *parcel) - 0.5) > 1 - biome.fields
    draw, reached = uniform(scene.layer("crop"), *parcel), 0.0
    for cover, share in biome.crops:
        land.paint(cover, 0.92 * (farmed & (draw >= reached) & (draw < reached + share)))
        reached += share
    vigour = 0.85 + 0.3 * uniform(scene.layer("vigour"), *parcel)
    vigour += 0.05 * white(scene.layer("crop rows"), window)
    land.reflectance *= np.where(farmed, vigour, 1.0)
    inner = [np.minimum(place % 1, 1 - place % 1) / count for place, count in zip(inside, cuts, strict=True)]
    edge = biome.parcel * np.minimum(*inner)  # px to the nearest edge of the parcel
    lane = uniform(scene.layer("lane"), *block) < 0.5
    land.paint("stubble", 0.35 * (farmed & lane) * ramp(-edge, -0.9, -0.1))


def _paint_towns(scene: Scene, window: Window, land: Ground) -> None:
    """Paint settlements: streets, and roofs of 2 to 4 px; a few roofs are bait for fire detectors."""
    near = ndtr(fractal(scene.layer("towns"), window, 80, smallest=6))
    built = ramp(near, 1 - scene.biome.towns, 1 - 0.6 * scene.biome.towns)
    streets = uniform(scene.layer("streets"), window.rows, window.columns)
    land.paint("town", built * (0.5 + 0.3 * streets))
    lot = np.floor(window.rows / 5), np.floor(window.columns / 5)
    low = [np.floor(3 * uniform(scene.layer("roof", axis), *lot)) for axis in (0, 1)]
    long = [2 + np.floor(3 * uniform(scene.layer("roof size", axis), *lot)) for axis in (0, 1)]
    place = window.rows % 5 - low[0], window.columns % 5 - low[1]
    roof = (place[0] >= 0) & (place[0] < long[0]) & (place[1] >= 0) & (place[1] < long[1])
    kind = uniform(scene.layer("roof kind"), *lot)
    land.paint("pale roof", 0.8 * built * roof * (kind < 0.07))
    land.paint("coated roof", 0.9 * ramp(built, 0.2, 0.3) * roof * (kind > 0.992))


def _shade(scene: Scene, window: Window, land: Ground) -> None:
    """Brighten slopes towards the sun (Lambert's cosine for gentle slopes) and darken those away from it.

    The morning sun stands in the south-east, in the southern hemisphere in the north-east.
    """
    height = fractal(scene.layer("height"), window, 192, smallest=3, hurst=0.95)
    southward, eastward = np.gradient(height)
    towards = (southward if scene.centre[0] > 0 else -southward) + eastward
    # A slope that falls towards the sun's side faces it.
    light = np.clip(1 - 6 * scene.biome.relief * towards, 0.35, 1.6)
    land.reflectance *= light
    land.temperature += 5 * (light - 1) - 3 * scene.biome.relief * height
