"""What a network's fires lack in brightness, measured once it is loaded and taken off.

A short training gets means and covariances right, and the shapes of distributions wrong: too few pixels saturate. How
wrong depends on the steps of sampling too. So masks of some real fires are painted on ground of the train part, and
from then on each value of a band becomes the one that as many pixels of real fires stay below (quantile mapping).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

from firefusion_assets.engines.native.contrast import Array, Contrast, fill_in, zones
from firefusion_assets.engines.native.crops import Crops, CropStream
from firefusion_assets.engines.native.scaling import Scaling

_FILE: Final = "calibration.safetensors"
_CROPS: Final = 64
_QUANTILES: Final = 129
_BEYOND: Final = 0.15
"""What a saturated pixel has above the largest DN, scaled units, so that it saturates on dark ground too."""
_FEWEST: Final = 50
"""Pixels of a zone below which its values are mapped as those of all of the label."""


class Calibration(NamedTuple):
    """Quantiles of differences to a mean fire in its core and at its rim, scaled units, float32 (2, C, Q) each.

    Attributes:
        painted: of painted fires.
        real: of real ones; missing (nan) for bands that never saturate, which stay as they are painted.
    """

    painted: Array
    real: Array

    def corrected(self, painted: Array, mean: Array, crops: Crops) -> Array:
        """Return painted scaled bands (N, C, S, S) that differ from a mean fire as real ones do, in core and rim.

        Args:
            painted: scaled bands (N, C, S, S).
            mean: what `Contrast.expected` says of their ground.
            crops: where they burn.
        """
        corrected = painted.copy()
        for zone, source, target in zip(zones(crops), self.painted, self.real, strict=False):
            where = zone[:, 0]
            for band in np.flatnonzero(np.isfinite(target[:, 0])):
                expected = mean[:, band][where]
                difference = painted[:, band][where] - expected
                corrected[:, band][where] = expected + np.interp(difference, source[band], target[band])
        return corrected


def save_examples(stream: CropStream, contrast: Contrast, scaling: Scaling, folder: Path) -> None:
    """Write ground to paint on, masks of real fires, and the quantiles of these fires."""
    fires, grounds = stream.transplanted(_CROPS)
    grounds = grounds._replace(valid=fires.valid * grounds.valid)
    largest = scaling.from_dn(np.full((fires.bands.shape[1], 1, 1), scaling.dn_max, np.uint16))
    saturated = (fires.bands >= largest) & (fires.label == 1)
    real = _quantiles(fires.bands + _BEYOND * saturated.astype(np.float32), fires, grounds.valid, contrast)
    real[:, ~saturated.any(axis=(0, 2, 3))] = np.nan
    save_file({"real": real, **grounds._asdict()}, folder / _FILE)


def calibrated(folder: Path, contrast: Contrast, paint: Callable[[Crops], Array]) -> Calibration:
    """Return the calibration of a model folder.

    Args:
        folder: where `save_examples` wrote.
        contrast: of the model.
        paint: what returns painted scaled bands (N, C, S, S) of crops.
    """
    arrays = load_file(folder / _FILE)
    real, grounds = arrays.pop("real"), Crops(**arrays)
    return Calibration(_quantiles(paint(grounds), grounds, grounds.valid, contrast), real)


def _quantiles(bands: Array, crops: Crops, valid: Array, contrast: Contrast) -> Array:
    """Return those of differences in core and rim, float32 (2, C, Q).

    Args:
        bands: scaled bands (N, C, S, S) with fires.
        crops: their ground and masks.
        valid: 1 where a pixel counts, else 0 (N, 1, S, S).
        contrast: says what a mean fire is.
    """
    difference = np.moveaxis(bands - contrast.expected(crops, fill_in(crops)), 1, -1)
    core, rim = (zone[:, 0] & (valid[:, 0] == 1) for zone in zones(crops)[:2])
    levels = np.linspace(0, 1, _QUANTILES)
    quantiles = np.stack(
        [
            np.quantile(difference[zone if zone.sum() >= _FEWEST else core | rim], levels, axis=0).T
            for zone in (core, rim)
        ]
    )
    return quantiles.astype(np.float32, order="C")  # safetensors writes memory as it lies
