"""What the diffusion works on: how bands differ from the ground around, in standard deviations.

Ground varies little and fires much. Standardised apart, on label pixels and beside them, both have about unit
variance, which v-prediction is made for; in one common scale a short training painted ground with visible
noise. Nothing of the network belongs here.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from firefusion_assets.inpainting.engines.native.crops import Crops

_BLUR: Final = 2.0
"""px; standard deviation of the Gaussian weights of known pixels."""
_FAR: Final = 1e-3
"""Weight of the crop's mean, which counts only far from anything known."""

Array = npt.NDArray[np.float32]


class Contrast(NamedTuple):
    """Means and standard deviations of the difference to the ground, scaled units, for each band.

    Attributes:
        ground_std: beside label pixels.
        fire_mean: on label pixels.
        fire_std: on label pixels.
    """

    ground_std: tuple[float, ...]
    fire_mean: tuple[float, ...]
    fire_std: tuple[float, ...]

    def standardise(self, bands: Array, ground: Array, label: Array) -> Array:
        """Return the standardised difference (N, C, S, S) of bands to ground.

        Args:
            bands: scaled bands (N, C, S, S).
            ground: what `fill_in` made of them.
            label: 1 on label pixels, else 0 (N, 1, S, S).
        """
        mean, std = self._moments(label)
        return (bands - ground - mean) / std

    def restore(self, difference: Array, ground: Array, label: Array) -> Array:
        """Return scaled bands of a standardised difference; the inverse of `standardise`."""
        mean, std = self._moments(label)
        return difference * std + mean + ground

    def _moments(self, label: Array) -> tuple[Array, Array]:
        ground_std, fire_mean, fire_std = (np.array(values, np.float32)[:, None, None] for values in self)
        return label * fire_mean, label * fire_std + (1 - label) * ground_std


def fit_contrast(batches: Iterable[Crops]) -> Contrast:
    """Measure means and deviations inside the edit masks of crops."""
    fire, beside = [], []
    for crops in batches:
        difference = np.moveaxis(crops.bands - fill_in(crops), 1, -1)
        painted = (crops.edit * crops.valid)[:, 0] == 1
        fire.append(difference[painted & (crops.label[:, 0] == 1)])
        beside.append(difference[painted & (crops.label[:, 0] == 0)])
    on_fire = np.concatenate(fire)
    # By the mean absolute difference: glow beside fires would raise a standard deviation much more.
    ground_std = np.maximum(np.abs(np.concatenate(beside)).mean(axis=0) * np.sqrt(np.pi / 2), 1e-3)
    fire_std = np.maximum(on_fire.std(axis=0), ground_std)
    return Contrast(*(tuple(values.tolist()) for values in (ground_std, on_fire.mean(axis=0), fire_std)))


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
