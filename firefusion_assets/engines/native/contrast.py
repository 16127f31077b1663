"""What the diffusion works on: how bands differ from the ground around, whitened.

Ground varies little and fires much, and bands vary together. Whitened separately, on label pixels and outside,
both have about unit covariance, which v-prediction is made for: what a short training fails to remove of the
noise then looks like more fire or more ground. In one common scale it painted visibly noisy ground; with bands
standardised one by one, fires of all colours. Fires differ less from bright ground than from dark: without that
slope too many label pixels saturate. `docs/design.md` has the figures.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from firefusion_assets.engines.native.crops import Crops

_BLUR: Final = 2.0
"""px; standard deviation of the Gaussian weights of known pixels."""
_FAR: Final = 1e-3
"""Weight of the crop's mean, which counts only far from anything known."""
_CLIP: Final = 3.0
"""Standard deviations at which differences are cut off when correlations are measured."""
_SLOPE_RIDGE: Final = 0.03
"""Variance of ground, scaled units, below which the slope goes to 0; over a train part it is about 0.2."""
_RIDGE: Final = 0.01
"""Added to each band's variance of about 1, so that few pixels, constant bands and equal bands do no harm."""

Array = npt.NDArray[np.float32]
Matrix = tuple[tuple[float, ...], ...]


class Contrast(NamedTuple):
    """Mean and covariance over bands of the difference to the ground, scaled units.

    A covariance is kept as a factor: a matrix that turns white noise over bands into noise of that covariance.

    Attributes:
        ground_factor: (C, C), outside label pixels.
        fire_mean: (C,), on label pixels with ground 0.
        fire_slope: (C,), by which the mean on label pixels changes with the ground.
        fire_factor: (C, C), on label pixels.
    """

    ground_factor: Matrix
    fire_mean: tuple[float, ...]
    fire_slope: tuple[float, ...]
    fire_factor: Matrix

    def whiten(self, bands: Array, ground: Array, label: Array) -> Array:
        """Return the whitened difference (N, C, S, S) of bands to ground.

        Args:
            bands: scaled bands (N, C, S, S).
            ground: what `fill_in` made of them.
            label: 1 on label pixels, else 0 (N, 1, S, S).
        """
        difference = bands - ground - label * self._expected(ground)
        return _mixed(np.linalg.inv(self.fire_factor), np.linalg.inv(self.ground_factor), difference, label)

    def restore(self, whitened: Array, ground: Array, label: Array) -> Array:
        """Return scaled bands of a whitened difference; the inverse of `whiten`."""
        mixed = _mixed(np.array(self.fire_factor), np.array(self.ground_factor), whitened, label)
        return mixed + label * self._expected(ground) + ground

    def _expected(self, ground: Array) -> Array:
        """Return the mean difference (N, C, S, S) that a fire makes."""
        mean, slope = (np.array(values, np.float32)[:, None, None] for values in (self.fire_mean, self.fire_slope))
        return mean + slope * ground


def fit_contrast(batches: Iterable[Crops]) -> Contrast:
    """Measure means, slopes and covariances inside the edit masks of crops."""
    fire, below, beside = [], [], []
    for crops in batches:
        filled = fill_in(crops)
        difference, ground = np.moveaxis(crops.bands - filled, 1, -1), np.moveaxis(filled, 1, -1)
        painted, label = ((plane[:, 0] == 1) for plane in (crops.edit * crops.valid, crops.label))
        fire.append(difference[painted & label])
        below.append(ground[painted & label])
        beside.append(difference[painted & ~label])
    on_fire, ground, on_ground = (np.concatenate(pixels) for pixels in (fire, below, beside))
    # By the mean absolute difference: glow around fires would raise a standard deviation much more.
    ground_std = np.maximum(np.abs(on_ground).mean(axis=0) * np.sqrt(np.pi / 2), 1e-3)
    centred = ground - ground.mean(axis=0)
    slope = (centred * on_fire).mean(axis=0) / (ground.var(axis=0) + _SLOPE_RIDGE)
    fire_mean = (on_fire - slope * ground).mean(axis=0)
    residual = on_fire - slope * ground - fire_mean
    fire_std = np.maximum(residual.std(axis=0), ground_std)
    return Contrast(
        _factor(on_ground / ground_std, ground_std),
        tuple(fire_mean.tolist()),
        tuple(slope.tolist()),
        _factor(residual / fire_std, fire_std),
    )


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


def _mixed(fire: npt.NDArray[np.floating], ground: npt.NDArray[np.floating], bands: Array, label: Array) -> Array:
    """Multiply each pixel's bands (N, C, S, S) by a matrix (C, C): one on label pixels, another outside."""
    on_fire, on_ground = (np.einsum("ij,njhw->nihw", matrix.astype(np.float32), bands) for matrix in (fire, ground))
    return np.where(label == 1, on_fire, on_ground)


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
