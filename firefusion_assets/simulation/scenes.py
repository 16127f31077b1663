"""The simulated scenes: where on the WRS-2 grid they lie, when they were taken, which landscape they show.

Place, date and seeds of a scene, and which of its tiles hold a fire; no pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from math import asin, atan, ceil, cos, degrees, isqrt, radians, sin, tan

from rasterio.transform import Affine
from rasterio.warp import transform

from firefusion_assets.core.seeding import derive_seed, generator
from firefusion_assets.landsat.bands import PIXEL_SIZE
from firefusion_assets.landsat.sun import INCLINATION, sun_elevation
from firefusion_assets.simulation import biomes
from firefusion_assets.simulation.biomes import Biome
from firefusion_assets.simulation.settings import SimulationSettings
from firefusion_assets.simulation.textures import Window

_REGIONS = (
    (226, 67, date(2020, 8, 20), biomes.AMAZON_FRONTIER),  # Mato Grosso
    (45, 31, date(2020, 8, 25), biomes.WESTERN_CONIFERS),  # northern California
    (104, 70, date(2020, 9, 10), biomes.SAVANNA),  # Northern Territory
    (204, 32, date(2020, 8, 5), biomes.MEDITERRANEAN),  # Portugal
    (124, 16, date(2020, 7, 12), biomes.BOREAL),  # Yakutia
    (129, 48, date(2020, 3, 15), biomes.PADDIES),  # Thailand
    (177, 67, date(2020, 7, 25), biomes.SAVANNA),  # Angola and Congo
    (90, 85, date(2020, 1, 8), biomes.EUCALYPT),  # New South Wales
    (28, 34, date(2020, 4, 8), biomes.PRAIRIE),  # Flint Hills
    (160, 24, date(2020, 8, 2), biomes.STEPPE),  # northern Kazakhstan
    (230, 76, date(2020, 9, 5), biomes.DRY_TROPICS),  # Chaco
    (148, 39, date(2020, 10, 28), biomes.PADDIES),  # Punjab
)
"""Path, row, usual fire season and landscape. No two lie within seven paths and rows of each other."""

_STEPS = ((0, 0), (0, 3), (3, 0), (0, -3), (-3, 0), (3, 3), (-3, -3), (3, -3), (-3, 3))
"""Paths and rows to the further scenes of a region: far enough apart that no two share ground."""


@dataclass(frozen=True)
class Scene:
    """One pass over one path/row, cut into a grid of tiles.

    Attributes:
        path: WRS-2 path.
        row: WRS-2 row.
        acquired: day of the pass.
        biome: the landscape.
        seed: seed of everything in the scene.
        tile_size: height and width of a tile in px.
        tile_rows: tiles from north to south.
        patches: tiles that are cut; the last column may hold fewer than `tile_rows`.
        fire_numbers: patch numbers of the tiles in which a fire breaks out.
    """

    path: int
    row: int
    acquired: date
    biome: Biome
    seed: int
    tile_size: int
    tile_rows: int
    patches: int
    fire_numbers: frozenset[int]

    def layer(self, *name: int | str) -> int:
        """Return the seed of one layer of the scene."""
        return derive_seed(self.seed, *name)

    def tile(self, number: int) -> Window:
        """Return where a patch lies; numbers go down the columns, from 1 (columns outer, rows inner)."""
        column, row = divmod(number - 1, self.tile_rows)
        return Window(row * self.tile_size, column * self.tile_size, self.tile_size, self.tile_size)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Latitude and longitude of the scene centre in degrees."""
        return wrs2_centre(self.path, self.row)

    @cached_property
    def sun_elevation(self) -> float:
        """Sun elevation at the scene centre in degrees."""
        return sun_elevation(self.centre[0], self.acquired)

    @property
    def crs(self) -> str:
        """The UTM zone of the centre; level-1 products use the northern zones in the south too."""
        return f"EPSG:{32601 + int((self.centre[1] + 180) // 6)}"

    @cached_property
    def origin(self) -> tuple[float, float]:
        """Easting and northing of the scene's upper left corner in m; pixel centres lie on multiples of 30
        m.
        """
        latitude, longitude = self.centre
        (x,), (y,) = transform("EPSG:4326", self.crs, [longitude], [latitude])
        west = x - ceil(self.patches / self.tile_rows) * self.tile_size / 2 * PIXEL_SIZE
        north = y + self.tile_rows * self.tile_size / 2 * PIXEL_SIZE
        return (round(west / PIXEL_SIZE) + 0.5) * PIXEL_SIZE, (round(north / PIXEL_SIZE) + 0.5) * PIXEL_SIZE

    def georeference(self, window: Window) -> Affine:
        """Return the transform from a window's columns and rows to easting and northing."""
        west, north = self.origin
        return Affine(
            PIXEL_SIZE,
            0.0,
            west + window.column * PIXEL_SIZE,
            0.0,
            -PIXEL_SIZE,
            north - window.row * PIXEL_SIZE,
        )


def scenes(dataset: SimulationSettings) -> Iterator[Scene]:
    """Yield the scenes of a data set. No two share a path/row or are neighbours on the WRS-2 grid."""
    for number in range(dataset.scenes):
        turn, region = divmod(number, len(_REGIONS))
        path, row, season, biome = _REGIONS[region]
        path, row = path + _STEPS[turn][0], row + _STEPS[turn][1]
        draws = generator(dataset.seed, "scene", path, row)
        yield Scene(
            path=path,
            row=row,
            acquired=pass_day(path, season + timedelta(days=int(draws.integers(-20, 21)))),
            biome=biome,
            seed=derive_seed(dataset.seed, "ground", path, row),
            tile_size=dataset.patch_size,
            tile_rows=isqrt(dataset.patches_per_scene - 1) + 1,
            patches=dataset.patches_per_scene,
            fire_numbers=_fire_numbers(dataset, number),
        )


def _fire_numbers(dataset: SimulationSettings, scene: int) -> frozenset[int]:
    """Draw the scene's part of the fires: all scenes together hold the share, each as many as the others."""
    total = round(dataset.fire_share * dataset.scenes * dataset.patches_per_scene)
    part = (scene + 1) * total // dataset.scenes - scene * total // dataset.scenes
    shuffled = generator(dataset.seed, "fire patches", scene).permutation(dataset.patches_per_scene)
    return frozenset(int(number) + 1 for number in shuffled[:part])


def wrs2_centre(path: int, row: int) -> tuple[float, float]:
    """Return latitude and longitude of a descending WRS-2 scene's centre in degrees, to about 0.2 degrees.

    A circular orbit of the inclination of Landsat; 233 paths and 248 rows around the earth, row 60 on the
    equator, path 1 crossing it at 64.6 degrees west, 233 orbits in 16 days (Landsat 8 Data Users Handbook,
    section 2).
    """
    travelled = (row - 60) * 360 / 248
    angle = radians(travelled)
    latitude = -degrees(asin(sin(radians(INCLINATION)) * sin(angle)))
    along_equator = degrees(atan(cos(radians(INCLINATION)) * tan(angle))) - travelled * 16 / 233
    longitude = -64.6 - (path - 1) * 360 / 233 + along_equator
    return latitude, (longitude + 180) % 360 - 180


def pass_day(path: int, near: date) -> date:
    """Return the first day from `near` on which Landsat 8 flies a path (UTC).

    Passes of one day lie 16 paths apart, those of the next day 7 further on; path 99 was flown on 27 August
    2020. Paths below 94 follow on the same day as the high ones, after the count wraps at 233.
    """
    days = (near - date(2020, 8, 27)).days
    lag = path - 99 - (7 if path < 94 else 0) - 7 * days
    return near + timedelta(days=lag * 7 % 16)  # 7 is its own inverse modulo 16
