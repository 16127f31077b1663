"""Random fields over absolute pixel coordinates of a scene.

Every value depends on a seed and on its place in the scene only, never on the window that is computed: two
windows that overlap agree bit for bit.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Field = npt.NDArray[np.float64]


class Window(NamedTuple):
    """A rectangle of a scene in px; row and column are those of its upper left pixel and may be negative."""

    row: int
    column: int
    height: int
    width: int

    @property
    def rows(self) -> Field:
        """Row numbers, (H, 1)."""
        return np.arange(self.row, self.row + self.height, dtype=np.float64)[:, None]

    @property
    def columns(self) -> Field:
        """Column numbers, (1, W)."""
        return np.arange(self.column, self.column + self.width, dtype=np.float64)[None]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def padded(self, margin: int) -> "Window":
        """Return the window with a margin on all sides."""
        return Window(self.row - margin, self.column - margin, self.height + 2 * margin, self.width + 2 * margin)

    def shifted(self, rows: int, columns: int) -> "Window":
        """Return the window moved down and right."""
        return self._replace(row=self.row + rows, column=self.column + columns)

    def within(self, row: float, column: float, radius: float) -> "Window":
        """Return the part of the window at most `radius` from a point along both axes; it may be empty."""
        top, left = max(self.row, int(row - radius)), max(self.column, int(column - radius))
        bottom = min(self.row + self.height, int(row + radius) + 2)
        right = min(self.column + self.width, int(column + radius) + 2)
        return Window(top, left, max(0, bottom - top), max(0, right - left))

    def slices(self, part: "Window") -> tuple[slice, slice]:
        """Return where a part of the window lies in an array of the window."""
        top, left = part.row - self.row, part.column - self.column
        return slice(top, top + part.height), slice(left, left + part.width)


def uniform(seed: int, *coordinates: Field) -> Field:
    """Return a value in [0, 1) for each place of a lattice: a hash of seed and whole-number coordinates.

    The mixing steps are those of SplitMix64 (Steele, Lea and Flood 2014).
    """
    state = _mixed(np.array([seed], np.uint64))
    for coordinate in coordinates:
        state = _mixed(state ^ coordinate.astype(np.int64).view(np.uint64))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def white(seed: int, window: Window) -> Field:
    """Return standard normal noise (H, W), independent from pixel to pixel."""
    return _normal(seed, window.rows, window.columns)


def _normal(seed: int, rows: Field, columns: Field) -> Field:
    normal: Field = ndtri(uniform(seed, rows, columns) * (1 - 2.0**-52) + 2.0**-54)  # never 0 or 1
    return normal


def smooth(seed: int, window: Window, cell: float) -> Field:
    """Return smooth noise (H, W) that is standard normal at each pixel.

    Normal values on a lattice of `cell` px are interpolated by cubic B-splines, and the sum is divided by
    the root of its squared weights, so that the spread is the same on and between the lattice's nodes.
    """
    offsets = uniform(seed, np.array([-1.0, -2.0]))
    rows, row_weights = _spline(window.rows[:, 0] / cell + offsets[0])
    columns, column_weights = _spline(window.columns[0] / cell + offsets[1])
    nodes = _normal(seed, np.arange(rows[0], rows[-1] + 4.0)[:, None], np.arange(columns[0], columns[-1] + 4.0)[None])
    row_index, column_index = (rows - rows[0]).astype(int), (columns - columns[0]).astype(int)
    bands = sum(row_weights[k][:, None] * nodes[row_index + k] for k in range(4))
    field: Field = sum(column_weights[k] * bands[:, column_index + k] for k in range(4))
    return field


def _spline(position: Field) -> tuple[Field, list[Field]]:
    """Return the first of four nodes at each position, and their weights, whose squares add up to one."""
    node = np.floor(position)
    t = position - node
    weights = [
        (1 - t) * (1 - t) * (1 - t),
        3 * t * t * t - 6 * t * t + 4,
        -3 * t * t * t + 3 * t * t + 3 * t + 1,
        t * t * t,
    ]
    root = np.sqrt(sum(weight * weight for weight in weights))
    return node - 1, [weight / root for weight in weights]


def fractal(seed: int, window: Window, largest: float, smallest: float = 2.0, hurst: float = 0.7) -> Field:
    """Return noise (H, W) of many scales, standard normal at each pixel.

    Args:
        seed: seed of the field.
        window: where it is computed.
        largest: cell of the coarsest scale in px; each further scale has half of it.
        smallest: no scale is finer than this.
        hurst: amplitudes go as cell to this power; the smaller, the rougher.
    """
    total, squares, cell, octave = np.zeros(window.shape), 0.0, largest, 0
    while octave == 0 or cell >= smallest:
        amplitude = (cell / largest) ** hurst
        total += amplitude * smooth(seed + octave, window, cell)
        squares += amplitude * amplitude
        cell, octave = cell / 2, octave + 1
    return total / squares**0.5


def level_of(share: float) -> float:
    """Return the level that a standard normal field exceeds on a share of the ground."""
    return float(ndtri(1 - share))


def ramp(values: Field, low: float, high: float) -> Field:
    """Return 0 up to `low`, 1 from `high`, and a smooth step between."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)
