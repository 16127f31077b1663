"""Where fires break out in a scene, how large they are and how they have grown.

Places and shapes; `burning` says how hot a pixel is. A tile's fires follow from the scene's seed and
the tile alone, so that any window finds all that reach into it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import cos, exp, floor, pi, sin

import numpy as np

from firefusion_assets.core.seeding import derive_seed, generator
from firefusion_assets.simulation.atmosphere import cloud
from firefusion_assets.simulation.landcover import water_depth
from firefusion_assets.simulation.scenes import Scene
from firefusion_assets.simulation.textures import Window

_LONGEST = 100.0
"""Longest semi-axis of a fire in px."""
_SPOT = 3.0
"""Semi-axis in px below which a fire burns all along its edge."""
_PLUME = 1.9
"""Longest plume in tiles."""
_REACH = 2
"""Tiles to the farthest one whose fires may touch a window: a plume's length, rounded up."""
_SIZE_EXPONENT = 0.4
"""Share of fires with more than n burning pixels is n to minus this power: median 5.7, heavy tail."""
_SCAR_SHARE = 0.12
"""Share of tiles without fire in which one has burnt out."""


@dataclass(frozen=True)
class Fire:
    """One fire: a burnt ellipse with ragged edges, whose edge burns where the fire is still active.

    Attributes:
        row: absolute row of the centre in px.
        column: absolute column of the centre in px.
        length: semi-axis along the wind in px.
        breadth: semi-axis across it in px.
        wind: direction the wind blows to, in radians from south (down the rows) towards east.
        front: depth of the burning edge in px.
        active: share of the edge that burns; 0 is an old scar.
        scar: how completely the inside is charred, 0..1.
        smoke: optical depth of the plume at its root.
        plume: px from the centre at which the smoke has vanished.
        seed: seed of edge, gaps and heat.
    """

    row: float
    column: float
    length: float
    breadth: float
    wind: float
    front: float
    active: float
    scar: float
    smoke: float
    plume: float
    seed: int

    def layer(self, *name: int | str) -> int:
        """Return the seed of one random field of the fire."""
        return derive_seed(self.seed, *name)

    @property
    def is_spot(self) -> bool:
        """Whether the fire is too small for gaps and a ragged edge."""
        return self.length < _SPOT


def fires_near(scene: Scene, window: Window) -> Iterator[Fire]:
    """Yield the fires of all tiles from which fire or smoke may reach a window, in a fixed order."""
    size = scene.tile_size
    for tile_column in range(window.column // size - _REACH, (window.column + window.width) // size + _REACH + 1):
        for tile_row in range(window.row // size - _REACH, (window.row + window.height) // size + _REACH + 1):
            number = tile_column * scene.tile_rows + tile_row + 1
            if 0 <= tile_row < scene.tile_rows and 1 <= number <= scene.patches:
                yield from fires_of_tile(scene, number)


@lru_cache(maxsize=1024)
def fires_of_tile(scene: Scene, number: int) -> tuple[Fire, ...]:
    """Draw the fires that broke out in a tile; none in most."""
    draws = generator(scene.seed, "fires", number)
    burns = number in scene.fire_numbers
    if not burns and draws.random() >= _SCAR_SHARE:
        return ()
    wind = generator(scene.seed, "wind").uniform(0, 2 * pi) + draws.normal(0, 0.2)
    pixels = (1 - draws.random()) ** (-1 / _SIZE_EXPONENT)
    pixels = pixels if burns else max(pixels, 60.0)
    front = float(np.clip(2.0 * exp(draws.normal(0, 0.3)), 1.2, 4.0))
    active = draws.uniform(0.35, 0.9) if burns else 0.0
    aspect = draws.uniform(0.3, 0.85)
    if pixels < 10:  # no inside yet
        length = (pixels / (pi * aspect)) ** 0.5
    else:  # pixels = active share x circumference x depth of the front
        length = max(2.0, pixels / (2 * pi * 0.62 * front * ((1 + aspect**2) / 2) ** 0.5))
    length = min(length, 0.45 * scene.tile_size, _LONGEST)
    if burns and length < _SPOT:
        active = 1.0
    if pixels < 3:
        aspect = 1.0
    row, column = _place(scene, number, length, draws)
    main = Fire(
        row=row,
        column=column,
        length=length,
        breadth=max(length * aspect, 0.56),
        wind=wind,
        front=front,
        active=active,
        scar=draws.uniform(0.75, 1.0) if burns else draws.uniform(0.3, 0.8),
        smoke=draws.uniform(0.5, 2.5) if burns and length > 3 else 0.0,
        plume=min(5 * length + 30, _PLUME * scene.tile_size),
        seed=scene.layer("fire", number),
    )
    return (main, *_spot_fires(scene, main, number, draws)) if burns else (main,)


def _place(scene: Scene, number: int, length: float, draws: np.random.Generator) -> tuple[float, float]:
    """Draw the centre, in whole px; where a few draws find such a place, clear of water and cloud."""
    tile = scene.tile(number)
    margin = min(1.3 * length, 0.45 * scene.tile_size)
    for _ in range(20):
        row, column = (floor(start + draws.uniform(margin, scene.tile_size - margin)) for start in tile[:2])
        pixel = Window(row, column, 1, 1)
        if water_depth(scene, pixel)[0, 0] < -0.3 and cloud(scene, pixel)[0, 0] < 0.3:
            break
    return float(row), float(column)


def _spot_fires(scene: Scene, main: Fire, number: int, draws: np.random.Generator) -> Iterator[Fire]:
    """Yield up to three spots that embers have lit downwind of a front, in its own tile."""
    if main.is_spot:
        return
    tile = scene.tile(number)
    for spot in range(int(draws.integers(4))):
        distance, angle = main.length * draws.uniform(1.1, 1.8), main.wind + draws.normal(0, 0.35)
        length = draws.uniform(0.56, 1.5)
        row, column = round(main.row + distance * cos(angle)), round(main.column + distance * sin(angle))
        if tile.row <= row < tile.row + tile.height and tile.column <= column < tile.column + tile.width:
            yield Fire(
                row=float(row),
                column=float(column),
                length=length,
                breadth=max(0.56, 0.8 * length),
                wind=main.wind,
                front=main.front,
                active=1.0,
                scar=0.9,
                smoke=0.0,
                plume=0.0,
                seed=scene.layer("spot", number, spot),
            )
