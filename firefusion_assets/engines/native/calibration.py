"""What a network's fires lack in brightness, measured once it is loaded and taken off.

A short training gets means and covariances right, and the shapes of distributions wrong: too few pixels saturate. How
wrong depends on the steps of sampling too. So masks of some real fires are painted on ground of the train part, and
from then on each value of a band becomes the one that as many pixels of real fires stay below (quantile mapping).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from firefusion_assets.engines.native.contrast import Array, zones
from firefusion_assets.engines.native.crops import Crops, CropStream

_FILE: Final = "calibration.safetensors"
_CROPS: Final = 64
_QUANTILES: Final = 129
_FEWEST: Final = 50
"""Pixels of a zone below which its values are mapped as those of all of the label."""


class Calibration(NamedTuple):
    """Quantiles of scaled bands in a fire's core and at its rim, float32 (2, C, Q) each.

    Attributes:
        painted: of painted fires.
        real: of real ones.
    """

    painted: Array
    real: Array

    def corrected(self, painted: Array, label: Array, edit: Array) -> Array:
        """Return painted scaled bands (N, C, S, S) with the values of real fires in core and rim."""
        corrected = painted.copy()
        for zone, source, target in zip(zones(label, edit), self.painted, self.real, strict=False):
            for band, pixels in enumerate(np.moveaxis(painted, 1, 0)):
                where = zone[:, 0]
                corrected[:, band][where] = np.interp(pixels[where], source[band], target[band])
        return corrected


def save_examples(stream: CropStream, folder: Path) -> None:
    """Write ground to paint on, masks of real fires, and the quantiles of these fires."""
    fires, grounds = stream.transplanted(_CROPS)
    known = fires.valid * grounds.valid
    grounds = grounds._replace(valid=known)
    real = _quantiles(fires.bands, grounds)
    save_file({"real": real, **grounds._asdict()}, folder / _FILE)


def calibrated(folder: Path, paint: Callable[[Crops], Array]) -> Calibration:
    """Return the calibration of a model folder.

    Args:
        folder: where `save_examples` wrote.
        paint: what returns painted scaled bands (N, C, S, S) of crops.
    """
    arrays = load_file(folder / _FILE)
    real, grounds = arrays.pop("real"), Crops(**arrays)
    return Calibration(_quantiles(paint(grounds), grounds), real)


def _quantiles(bands: Array, crops: Crops) -> Array:
    """Return those of scaled bands (N, C, S, S) in core and rim of the labels of crops, float32 (2, C, Q)."""
    core, rim, _ = (zone[:, 0] & (crops.valid[:, 0] == 1) for zone in zones(crops.label, crops.edit))
    levels = np.linspace(0, 1, _QUANTILES)
    pixels: npt.NDArray[np.float32] = np.moveaxis(bands, 1, -1)
    places = (zone if zone.sum() >= _FEWEST else core | rim for zone in (core, rim))
    quantiles = np.stack([np.quantile(pixels[place], levels, axis=0).T for place in places])
    return quantiles.astype(np.float32, order="C")  # safetensors writes memory as it lies
