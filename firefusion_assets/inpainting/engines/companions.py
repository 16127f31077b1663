"""Bands that a painter of a composite leaves out, predicted from those that it painted.

A fire changes nearly all bands; one painted into three of them, above the ground of the others, is a fire that no
sensor sees. A regression on real fire pixels tells the other bands from the composite. How the composite is
painted doesn't belong here.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from firefusion_assets.inpainting.engines.contract import fire_patches
from firefusion_assets.patchstore import PatchPart

_RIDGE: Final = 1.0
"""Penalty on squared coefficients of standardised logarithms: that of few pixels counts, that of many doesn't."""
_SMALLEST_STD: Final = 0.01
"""Of a logarithm: a band that varies by less than 1 % tells nothing of the others."""

Array = npt.NDArray[np.float64]


class Companions(BaseModel):
    """Logarithms of the other bands as quadratic functions of those of the composite.

    In logarithms the few hottest pixels don't decide the fit. What goes in and what comes out is clipped to what
    the fires of the train part show, since a parabola says nothing outside.

    Attributes:
        bands: of the store, in its order.
        composite: the bands that are painted.
        low: smallest DN on the train part's fire pixels, at least 1, for each band of the store.
        high: largest DN there.
        mean: of the logarithm there, for each band of the composite.
        std: standard deviation of the logarithm there, likewise.
        coefficients: for each other band, in store order, one of each feature; see `_features`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: tuple[str, ...]
    composite: tuple[str, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...]

    def fill(self, bands: npt.NDArray[np.uint16], labels: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Predict the other bands on label pixels.

        Args:
            bands: uint16 DN (N, C, H, W), bands in store order, those of the composite painted.
            labels: bool (N, H, W), where fire is.

        Returns:
            float32 DN (N, C, H, W), not rounded; the composite, and all bands beside the label, as they were.
        """
        logs = np.stack(
            [
                np.log(np.clip(bands[:, channel][labels], self.low[channel], self.high[channel]).astype(np.float64))
                for channel in map(self.bands.index, self.composite)
            ]
        )
        features = _features((logs - _column(self.mean)) / _column(self.std))
        filled = bands.astype(np.float32)
        for channel, coefficients in zip(_others(self.bands, self.composite), self.coefficients, strict=True):
            predicted = np.exp(np.array(coefficients) @ features)
            filled[:, channel][labels] = np.clip(predicted, self.low[channel], self.high[channel])
        return filled


def fit_companions(train: PatchPart, composite: Sequence[str]) -> Companions:
    """Fit the other bands to the composite on the train part's fire pixels, by ridge regression.

    The coefficients w of a band's logarithms y minimise |y - w X|^2 + ridge |w|^2, the intercept left out of the
    penalty (Hoerl and Kennard 1970, Technometrics 12, 55-67).

    Raises:
        NoFireError: if the train part holds no fire.
        ValueError: if the store lacks a band of the composite.
    """
    patches = map(train.read, fire_patches(train))
    dn = np.maximum(np.concatenate([patch.bands[:, patch.label & ~patch.ignore] for patch in patches], axis=1), 1)
    bands = train.meta.bands
    logs = np.log(dn.astype(np.float64))
    painted = logs[[bands.index(band) for band in composite]]
    mean, std = painted.mean(axis=1), np.maximum(painted.std(axis=1), _SMALLEST_STD)
    features = _features((painted - mean[:, None]) / std[:, None])
    penalty = _RIDGE * np.eye(len(features))
    penalty[0, 0] = 0
    coefficients = np.linalg.solve(features @ features.T + penalty, features @ logs[_others(bands, composite)].T).T
    return Companions(
        bands=bands,
        composite=tuple(composite),
        low=tuple(dn.min(axis=1).tolist()),
        high=tuple(dn.max(axis=1).tolist()),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        coefficients=tuple(map(tuple, coefficients.tolist())),
    )


def _features(values: Array) -> Array:
    """Return 1, each of the values (K, n), and their products in pairs: (1 + K + K (K + 1) / 2, n)."""
    first, second = np.triu_indices(len(values))
    return np.concatenate([np.ones((1, values.shape[1])), values, values[first] * values[second]])


def _others(bands: Sequence[str], composite: Sequence[str]) -> list[int]:
    """Return the channels that aren't in the composite."""
    return [channel for channel, band in enumerate(bands) if band not in composite]


def _column(values: tuple[float, ...]) -> Array:
    return np.array(values)[:, None]
