"""Kinds of masks that are drawn: shapes that no real fire had, with as many pixels as one had."""

import heapq
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.core.cropping import trimmed
from firefusion_assets.study.masks import Mask, Masks

_NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


class RandomMasks(Masks):
    """Blobs that grow at random places of their rim (the Eden model)."""

    kind: Literal["random"]
    """For each fire of a real mask a blob of its size that grows at random, anywhere in the box around all."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return blobs of the sizes of the mask's fires."""

        def blob(pixels: int, side: int) -> Mask:
            return trimmed(_spread(rng.exponential(size=(side, side)), pixels, (0.0, 0.0)) >= 0)[0]

        return _scattered(fire, size, rng, blob)


class DilatedMasks(Masks):
    """Real masks, grown."""

    kind: Literal["dilated"]
    """A real mask, grown by some pixels, moved and turned."""
    most: int = Field(3, ge=1, le=16)
    """px by which a mask grows at most; each number from 1 on is equally likely."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return the grown mask, cut where it would be larger than a patch."""
        from firefusion_assets.core.dilation import dilated

        px = int(rng.integers(1, self.most + 1))
        return dilated(np.pad(fire, px), px)[:size, :size]


class PerlinMasks(Masks):
    """Where smooth noise is highest: one to many pieces, ragged to round."""

    kind: Literal["perlin"]
    """Where fractal noise is highest, with as many pixels and in a box as large as a real mask's."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return the mask's number of pixels; how fine the noise is, is drawn."""
        from firefusion_assets.simulation.textures import Window, fractal

        largest = float(np.exp(rng.uniform(np.log(2), np.log(max(4, max(fire.shape) / 2)))))
        noise = fractal(int(rng.integers(2**31)), Window(0, 0, *fire.shape), largest, 1.0)
        shape = np.zeros(fire.size, bool)
        shape[np.argsort(noise, axis=None, kind="stable")[-int(fire.sum()) :]] = True
        return trimmed(shape.reshape(fire.shape))[0]


class SpreadMasks(Masks):
    """Fires that spread with the wind around what doesn't burn, and are burnt out inside.

    A fire reaches each pixel on its fastest way from where it began (the minimum travel time of Finney 2002,
    Canadian Journal of Forest Research 32, 1420-1424); the label is the front: the pixels that it reached last.
    """

    kind: Literal["spread"]
    """Fire fronts that spread with the wind, with islands, burnt out inside."""
    wind: float = Field(1.0, ge=0, le=3)
    """Strongest wind: with a wind of w a fire runs exp(w) times as fast as across it; each patch draws its own."""
    islands: float = Field(0.15, ge=0, le=0.4)
    """Share of the ground that doesn't burn."""
    front: float = Field(0.5, gt=0, le=1)
    """Share of what a fire reached that still burns."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return a front for each of the mask's fires, of its size, or of all that the fire reached if that is less."""
        from firefusion_assets.simulation.textures import Window, smooth

        direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, self.wind)
        wind = (strength * np.sin(direction), strength * np.cos(direction))

        def front(pixels: int, side: int) -> Mask:
            reached = min(int(np.ceil(pixels / self.front)), side * side)
            fuel = smooth(int(rng.integers(2**31)), Window(0, 0, side, side), 4.0)
            cost = rng.exponential(size=(side, side)) + np.exp(-fuel)
            unburnable = fuel < np.quantile(fuel, self.islands)
            middle = side // 2
            unburnable[max(0, middle - 1) : middle + 2, max(0, middle - 1) : middle + 2] = False
            cost[unburnable] = np.inf
            order = _spread(cost, reached, wind)
            return trimmed(order >= max(0, order.max() + 1 - pixels))[0]

        return _scattered(fire, size, rng, front)


class MatchedMasks(Masks):
    """Masks of another kind, chosen to be like real ones."""

    kind: Literal["matched"]
    """Of several drawn masks the one that is most like a real mask."""
    of: Masks
    """The kind that is drawn from, with its settings."""
    candidates: int = Field(24, ge=2, le=1000)
    """Masks that are drawn for each real one."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return the candidate nearest to the mask in size, perimeter, elongation and number of pieces."""
        drawn = [self.of.shape(fire, size, rng) for _ in range(self.candidates)]
        real = form(fire)
        return min(drawn, key=lambda one: form(one).distance(real))


class Form(NamedTuple):
    """What a mask is like.

    Attributes:
        pixels: its size.
        perimeter: edges between its pixels and others.
        elongation: long axis by short axis, of its second moments.
        pieces: its 8-connected parts.
    """

    pixels: float
    perimeter: float
    elongation: float
    pieces: float

    def distance(self, other: "Form") -> float:
        """Return how far two forms are apart: the sum of the logarithms of their ratios."""
        return float(np.abs(np.log(self) - np.log(other)).sum())


def form(mask: Mask) -> Form:
    """Return what a mask with at least one pixel is like."""
    from firefusion_assets.core.fires import numbered_fires

    padded = np.pad(mask, 1).astype(np.int8)
    perimeter = sum(int(np.abs(np.diff(padded, axis=axis)).sum()) for axis in (0, 1))
    places = np.argwhere(mask).astype(np.float64)
    # A pixel is a square, with moments of its own.
    short, long = np.linalg.eigvalsh(np.cov(places.T, bias=True) + np.eye(2) / 12)
    return Form(len(places), perimeter, float(np.sqrt(long / short)), int(numbered_fires(mask).max()))


def _scattered(fire: Mask, size: int, rng: np.random.Generator, draw: Callable[[int, int], Mask]) -> Mask:
    """Return a shape for each fire of a mask, at a random place in a box as large as the mask's.

    Args:
        fire: the mask.
        size: px that the box may have at most.
        rng: where places are drawn from.
        draw: returns a shape, given a number of pixels and the side of the square that it has to fit into.
    """
    from firefusion_assets.core.fires import numbered_fires

    sizes = np.bincount(numbered_fires(fire)[fire])[1:]
    # A fire of n pixels seldom reaches further than this; where it does, it is kept inside.
    shapes = [draw(int(pixels), min(size, 4 * int(np.ceil(np.sqrt(pixels))) + 8)) for pixels in sizes]
    height, width = (max(fire.shape[axis], *(shape.shape[axis] for shape in shapes)) for axis in (0, 1))
    box = np.zeros((height, width), bool)
    for shape in shapes:
        y, x = (int(rng.integers(whole - part + 1)) for whole, part in zip(box.shape, shape.shape, strict=True))
        box[y : y + shape.shape[0], x : x + shape.shape[1]] |= shape
    return trimmed(box)[0]


def _spread(cost: npt.NDArray[np.float64], wanted: int, wind: tuple[float, float]) -> npt.NDArray[np.int64]:
    """Return the order in which a fire from the middle reaches pixels, from 0; -1 for those it doesn't.

    Args:
        cost: time to cross a pixel; infinite where nothing burns.
        wanted: pixels to reach.
        wind: down and right; steps along it are exp(its length) times as fast as across it.
    """
    height, width = cost.shape
    order = np.full(cost.shape, -1, np.int64)
    # Steps to a corner are longer.
    faster = [np.exp((wind[0] * y + wind[1] * x) / np.hypot(y, x)) / np.hypot(y, x) for y, x in _NEIGHBOURS]
    waiting = [(0.0, height // 2, width // 2)]
    n_reached = 0
    while waiting and n_reached < wanted:
        time, row, column = heapq.heappop(waiting)
        if order[row, column] >= 0:
            continue
        order[row, column] = n_reached
        n_reached += 1
        for (down, right), speed in zip(_NEIGHBOURS, faster, strict=True):
            y, x = row + down, column + right
            if 0 <= y < height and 0 <= x < width and order[y, x] < 0 and np.isfinite(cost[y, x]):
                heapq.heappush(waiting, (time + cost[y, x] / speed, y, x))
    return order
