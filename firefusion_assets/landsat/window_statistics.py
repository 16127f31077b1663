"""Means and deviations over windows around a few pixels of an image, from integral images.

An integral image makes the sum over any window four lookups (Crow 1984, SIGGRAPH Computer Graphics 18(3), 207-212).
Statistics over windows, whatever they are used for.

In floating point a single large value spoils all sums below and right of it, and the result depends on where an
image begins. So the sums here are of integers: exact in any order, and overflow of the integral image cancels in
the four lookups as long as the window's own sum fits in 64 bits.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

LARGEST: Final = 61
"""Largest width of a window in px."""

_LIMIT_BITS: Final = 10
_COUNT_BITS: Final = 12  # 61 x 61 < 2**12
_VALUE_BITS: Final = 63 - _COUNT_BITS - _LIMIT_BITS
_SQUARE_BITS: Final = 63 - _COUNT_BITS - 2 * _LIMIT_BITS

Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Square windows, clipped at the image's borders: rows top to bottom - 1, columns left to right - 1.

    Attributes:
        top: int (N,), and so are bottom, left and right.
    """

    top: Integers
    bottom: Integers
    left: Integers
    right: Integers

    @classmethod
    def around(cls, y: Integers, x: Integers, half: int | Integers, shape: tuple[int, int]) -> "Windows":
        """Return the windows of 2 half + 1 px around pixels (y, x) of an image of a shape."""
        height, width = shape
        top, bottom = np.maximum(y - half, 0), np.minimum(y + half + 1, height)
        return cls(top, bottom, np.maximum(x - half, 0), np.minimum(x + half + 1, width))

    def __getitem__(self, chosen: npt.NDArray[np.bool_ | np.int64]) -> "Windows":
        return Windows(self.top[chosen], self.bottom[chosen], self.left[chosen], self.right[chosen])

    @property
    def area(self) -> Integers:
        """Pixels of each window that lie in the image, int (N,)."""
        return (self.bottom - self.top) * (self.right - self.left)

    def sums(self, integral: Integers) -> Integers:
        """Return the sum over each window, int (N,), of the image that `integral_image` was made of."""
        flat, width = integral.ravel(), integral.shape[1]
        top, bottom = self.top * width, self.bottom * width
        low = flat[bottom + self.right] - flat[bottom + self.left]
        high = flat[top + self.right] - flat[top + self.left]
        return low - high


def integral_image(usable: Mask, values: Integers | None = None) -> Integers:
    """Return the sums of values over usable pixels above and left of each corner, modulo 2^64.

    Args:
        usable: bool (H, W).
        values: int64 (H, W); without them pixels are counted.

    Returns:
        int64 (H + 1, W + 1).
    """
    height, width = usable.shape
    integral = np.empty((height + 1, width + 1), np.int64)
    integral[0], integral[:, 0] = 0, 0
    inner = integral[1:, 1:]  # all in place: fresh memory costs more than the sums
    np.copyto(inner, usable) if values is None else np.multiply(values, usable, out=inner)
    np.cumsum(inner, axis=1, out=inner)
    np.cumsum(inner, axis=0, out=inner)
    return integral


class FixedPoint:
    """A field of numbers, prepared for exact sums of its values and squares over windows of at most 61 px.

    Values up to 1,024 are rounded to 2^-41, squares to 2^-31. The rare values beyond, as ratios have where the
    divisor is next to 0, are marked: a window that holds one is computed on its own.

    Args:
        field: float64 (H, W), may hold infinities and NaN.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        wild = ~(np.abs(field) <= 2**_LIMIT_BITS)
        self._wild = wild if wild.any() else None
        tame = field if self._wild is None else np.where(wild, 0.0, field)
        self._values = _fixed(tame.copy(), _VALUE_BITS)
        self._squares = _fixed(tame * tame, _SQUARE_BITS)

    def statistics(self, usable: Mask, count: Integers, windows: Windows) -> tuple[Field, Field]:
        """Return mean and population standard deviation over the usable pixels of each window.

        Args:
            usable: bool (H, W).
            count: int (N,), usable pixels of each window.
            windows: N windows of at most 61 px.

        Returns:
            float64 (N,) each; NaN for a window with no usable pixel or with an infinite value.
        """
        total, squares = (windows.sums(integral_image(usable, image)) for image in (self._values, self._squares))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total * 2.0**-_VALUE_BITS / count
            variance = squares * 2.0**-_SQUARE_BITS / count - mean * mean
        deviation = np.sqrt(np.maximum(variance, 0))
        if self._wild is not None:
            for i in np.flatnonzero(windows.sums(integral_image(usable & self._wild))).tolist():
                mean[i], deviation[i] = self._plainly(usable, windows, i)
        return mean, deviation

    def _plainly(self, usable: Mask, windows: Windows, i: int) -> tuple[float, float]:
        place = slice(windows.top[i], windows.bottom[i]), slice(windows.left[i], windows.right[i])
        values = self.field[place][usable[place]]
        with np.errstate(invalid="ignore", over="ignore"):
            return values.mean(), values.std()


def _fixed(field: Field, bits: int) -> Integers:
    field *= 2.0**bits
    np.rint(field, out=field)
    return field.astype(np.int64)


def with_neighbours(mask: Mask) -> Mask:
    """Return the pixels of a mask and their eight neighbours, bool (H, W)."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    rows = grown.copy()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown
