"""What the diffusion works on: how bands differ from the ground around, whitened.

Ground varies little and fires much, and bands vary together. Whitened separately, in each zone of a fire and outside,
all have about unit covariance, which v-prediction is made for: what a short training fails to remove of the
noise then looks like more fire or more ground. In one common scale it painted visibly noisy ground; with bands
standardised one by one, fires of all colours. Fires differ less from bright ground than from dark, and small ones less
than large: without these slopes too many label pixels saturate, and a fire of one pixel glows as a front does.
`docs/design.md` has the figures.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, gaussian_filter

from firefusion_assets.engines.native.crops import Crops

_BLUR: Final = 2.0
"""px; standard deviation of the Gaussian weights of known pixels."""
_FAR: Final = 1e-3
"""Weight of the crop's mean, which counts only far from anything known."""
_CLIP: Final = 3.0
"""Standard deviations at which differences are cut off when correlations are measured."""
_SLOPE_RIDGE: Final = 0.003
"""Variance of ground, scaled units, below which the slope goes to 0; below one fire it is about 0.01, over a train part
0.06. With as much, fires at the rim followed the ground by 0.4 where those of many scenes do by 0.6."""
_RISE_RIDGE: Final = 0.1
"""Variance of the logarithm of sizes below which the rise goes to 0; over a train part it is about 2."""
_FEWEST: Final = 50
"""Pixels of a zone below which it has no statistics of its own."""
_RIDGE: Final = 0.01
"""Added to each band's variance of about 1, so that few pixels, constant bands and equal bands do no harm."""

Array = npt.NDArray[np.float32]
Matrix = tuple[tuple[float, ...], ...]
Pixels = tuple[Array, Array, Array]
"""Difference to the ground (N, C), ground (N, C) and size (N, 1) of pixels."""
Zones = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
"""Core, rim and glow; see `zones`."""


class Contrast(NamedTuple):
    """Mean and covariance over bands of the difference to the ground, scaled units, in each of the `zones` of a fire.

    A covariance is kept as a factor: a matrix that turns white noise over bands into noise of that covariance.

    Attributes:
        ground_factor: (C, C), where no zone is; the mean difference is 0 there.
        means: (Z, C), with ground 0, of a fire of one pixel.
        slopes: (Z, C), by which the means change with the ground.
        rises: (Z, C), by which they change with the logarithm of a fire's pixels, `Crops.size`.
        factors: (Z, C, C).
    """

    ground_factor: Matrix
    means: tuple[tuple[float, ...], ...]
    slopes: tuple[tuple[float, ...], ...]
    rises: tuple[tuple[float, ...], ...]
    factors: tuple[Matrix, ...]

    def whiten(self, crops: Crops, ground: Array) -> Array:
        """Return the whitened difference (N, C, S, S) of crops to their ground.

        Args:
            crops: what is looked at.
            ground: what `fill_in` made of them.
        """
        inverses = [np.linalg.inv(factor) for factor in self.factors]
        difference = crops.bands - self.expected(crops, ground)
        return _mixed(np.linalg.inv(self.ground_factor), inverses, difference, zones(crops))

    def restore(self, whitened: Array, crops: Crops, ground: Array) -> Array:
        """Return scaled bands of a whitened difference; the inverse of `whiten`, which reads no bands of the crops."""
        factors = [np.array(factor) for factor in self.factors]
        return _mixed(np.array(self.ground_factor), factors, whitened, zones(crops)) + self.expected(crops, ground)

    def relief(self, crops: Crops) -> Array:
        """Return the ground's relief (N, C, S, S) as noise of its own: whitened, of mean 0 and variance 1 in a crop.

        What a crop holds below the edit mask is read here, and nowhere else.
        """
        known = crops.valid == 1
        whitened = np.einsum("ij,njhw->nihw", np.linalg.inv(self.ground_factor).astype(np.float32), crops.bands)
        n = np.maximum(known.sum(axis=(2, 3), keepdims=True), 1)
        mean = np.where(known, whitened, 0).sum(axis=(2, 3), keepdims=True) / n
        centred = np.where(known, whitened - mean, 0)
        spread = np.sqrt((centred**2).sum(axis=(2, 3), keepdims=True) / n)
        relief: Array = np.clip(centred / np.maximum(spread, 1e-6), -_CLIP, _CLIP).astype(np.float32)
        return relief

    def expected(self, crops: Crops, ground: Array) -> Array:
        """Return the mean of scaled bands (N, C, S, S) that burn where crops say, on a ground."""
        expected = ground
        for zone, *line in zip(zones(crops), self.means, self.slopes, self.rises, strict=True):
            mean, slope, rise = (np.array(values, np.float32)[:, None, None] for values in line)
            expected = np.where(zone, ground + mean + slope * ground + rise * crops.size, expected)
        return expected


def zones(crops: Crops) -> Zones:
    """Return where a fire's core, its rim and the glow beside it are, bool (N, 1, S, S) each.

    A rim pixel has one beside it that is to be painted without fire; the network doesn't see what lies beyond the edit
    mask, so a label that is cut off there has no rim. Fires of Landsat-8 are a third as bright at the rim as in the
    core, and a short training doesn't learn that.
    """
    fire, beside = crops.label == 1, (crops.edit == 1) & (crops.label == 0)
    rim = fire & _next_to(beside)
    return fire & ~rim, rim, beside & _next_to(fire)


def _next_to(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels that touch those of a mask (N, 1, S, S), by corners too, and these."""
    return binary_dilation(mask, np.ones((1, 1, 3, 3), np.bool_))


def fit_contrast(batches: Iterable[Crops]) -> Contrast:
    """Measure means, slopes and covariances inside the edit masks of crops.

    A zone of which too little was seen is taken to be as all of the label; the glow, as ground.
    """
    seen: list[list[Pixels]] = [[], [], [], []]
    for crops in batches:
        filled = fill_in(crops)
        planes = [np.moveaxis(array, 1, -1) for array in (crops.bands - filled, filled, crops.size)]
        painted = (crops.edit * crops.valid)[:, 0] == 1
        where = [zone[:, 0] for zone in zones(crops)]
        for pixels, zone in zip(seen, [*where, ~np.logical_or.reduce(where)], strict=True):
            difference, ground, size = (plane[painted & zone] for plane in planes)
            pixels.append((difference, ground, size))
    core, rim, glow, elsewhere = map(_joined, seen)
    fire = _joined([core, rim])
    rest = elsewhere[0] if len(elsewhere[0]) else glow[0]
    # By the mean absolute difference: glow around fires would raise a standard deviation much more.
    ground_std = np.maximum(np.abs(rest).mean(axis=0) * np.sqrt(np.pi / 2), 1e-3)
    ground_factor = _factor(rest / ground_std, ground_std)
    lines = [_line(zone if len(zone[0]) >= _FEWEST else fire, ground_std) for zone in (core, rim)]
    if len(glow[0]) >= _FEWEST:
        lines.append(_line(glow, ground_std))
    else:
        nothing = (0.0,) * len(ground_std)
        lines.append((nothing, nothing, nothing, ground_factor))
    means, slopes, rises, factors = zip(*lines, strict=True)
    return Contrast(ground_factor, means, slopes, rises, factors)


def _joined(parts: Iterable[Pixels]) -> Pixels:
    difference, ground, size = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return difference, ground, size


def _line(
    pixels: Pixels, least_std: npt.NDArray[np.floating]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], Matrix]:
    """Return mean, slope over the ground, rise with the size, and factor of the covariance of a zone's pixels.

    Args:
        pixels: of the zone.
        least_std: (C,), below which no standard deviation is.
    """
    difference, ground, size = pixels
    slopes, rises = [], []
    for band, plane in zip(difference.T, ground.T, strict=True):
        causes = np.stack([plane - plane.mean(), size[:, 0] - size.mean()])
        covariance = causes @ causes.T / len(band) + np.diag([_SLOPE_RIDGE, _RISE_RIDGE])
        slope, rise = np.linalg.solve(covariance, causes @ band / len(band))
        slopes.append(slope)
        rises.append(rise)
    residual = difference - np.array(slopes, np.float32) * ground - np.array(rises, np.float32) * size
    mean = residual.mean(axis=0)
    residual -= mean
    std = np.maximum(residual.std(axis=0), least_std)
    return tuple(mean.tolist()), tuple(map(float, slopes)), tuple(map(float, rises)), _factor(residual / std, std)


def _factor(standardised: Array, std: Array) -> Matrix:
    """Return the standard deviations times the symmetric square root of the correlation of pixels (N, C).

    The symmetric root, of all roots, keeps each whitened band closest to its own band.
    """
    clipped = np.clip(standardised.astype(np.float64), -_CLIP, _CLIP)
    covariance = clipped.T @ clipped / len(clipped) + _RIDGE * np.eye(len(std))
    deviation = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    factor = std[:, None] * ((vectors * np.sqrt(values)) @ vectors.T)
    return tuple(tuple(row) for row in factor.tolist())


def _mixed(
    ground: npt.NDArray[np.floating], fire: Sequence[npt.NDArray[np.floating]], bands: Array, where: Zones
) -> Array:
    """Multiply each pixel's bands (N, C, S, S) by a matrix (C, C): one for each zone, another where none is."""
    mixed = np.einsum("ij,njhw->nihw", ground.astype(np.float32), bands)
    for zone, matrix in zip(where, fire, strict=True):
        mixed = np.where(zone, np.einsum("ij,njhw->nihw", matrix.astype(np.float32), bands), mixed)
    return mixed


def fill_in(crops: Crops) -> Array:
    """Return scaled bands (N, C, S, S) with the edit area and invalid pixels filled in from around."""
    known = crops.valid * (1 - crops.edit)
    near_bands, near_known = (
        gaussian_filter(array, (0, 0, _BLUR, _BLUR), mode="constant", truncate=6)
        for array in (crops.bands * known, known)
    )
    far_bands, far_known = (_FAR * array.mean(axis=(2, 3), keepdims=True) for array in (crops.bands * known, known))
    smooth = (near_bands + far_bands) / np.maximum(near_known + far_known, 1e-9)
    return np.where(known == 1, crops.bands, smooth).astype(np.float32)
