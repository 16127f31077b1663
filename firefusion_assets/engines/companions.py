"""Bands that a painter of a composite leaves out, predicted from those that it painted.

A fire changes nearly all bands; one painted into three of them, above the ground of the others, is a fire that no
sensor sees. A regression on real fire pixels tells the other bands from the composite and from the ground around
the fire: thermal bands are warmer or colder with the season, and cirrus doesn't see the fire at all. How the
composite is painted doesn't belong here.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from firefusion_assets.core.dilation import dilated
from firefusion_assets.engines.contract import fire_patches
from firefusion_assets.patchstore import Patch, PatchPart

_RIDGE: Final = 1.0
"""Penalty on squared coefficients of standardised logarithms: that of few pixels counts, that of many doesn't."""
_SMALLEST_STD: Final = 0.01
"""Of a logarithm: a band that varies by less than 1 % tells nothing of the others."""

_RING: Final = (2, 10)
"""px from a fire at which the ground around it begins and ends."""

Array = npt.NDArray[np.float64]


class Companions(BaseModel):
    """Logarithms of the other bands: quadratic in those of the composite, linear in the band's own ground.

    In logarithms the few hottest pixels don't decide the fit. What goes in and what comes out is clipped to what
    the fires of the train part show, since a parabola says nothing outside.

    Attributes:
        bands: of the store, in its order.
        composite: the bands that are painted.
        low: smallest DN on the train part's fire pixels, at least 1, for each band of the store.
        high: largest DN there.
        mean: of the logarithm there, for each band of the store.
        std: standard deviation of the logarithm there, likewise, at least 0.01.
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
            bands: uint16 DN (N, C, H, W), bands in store order: those of the composite painted, the others ground.
            labels: bool (N, H, W), where fire is.

        Returns:
            float32 DN (N, C, H, W), not rounded; the composite, and all bands outside the label, are unchanged.
        """
        dn = np.moveaxis(bands, 1, 0)[:, labels]
        channels = list(map(self.bands.index, self.composite))
        inside = np.clip(dn[channels], _column(self.low)[channels], _column(self.high)[channels])
        painted = _standardised(inside, _column(self.mean)[channels], _column(self.std)[channels])
        ground = _standardised(dn, _column(self.mean), _column(self.std))
        filled = bands.astype(np.float32)
        for channel, coefficients in zip(_others(self.bands, self.composite), self.coefficients, strict=True):
            predicted = np.exp(np.array(coefficients) @ _features(painted, ground[channel]))
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
    patches = [train.read(patch_id) for patch_id in fire_patches(train)]
    fires = [patch.label & ~patch.ignore for patch in patches]
    dn = np.maximum(np.concatenate([p.bands[:, fire] for p, fire in zip(patches, fires, strict=True)], axis=1), 1)
    around = np.repeat([_ground(patch) for patch in patches], [fire.sum() for fire in fires], axis=0).T
    bands = train.meta.bands
    logs = np.log(dn.astype(np.float64))
    mean, std = logs.mean(axis=1, keepdims=True), np.maximum(logs.std(axis=1, keepdims=True), _SMALLEST_STD)
    channels = [bands.index(band) for band in composite]
    painted, ground = _standardised(dn, mean, std)[channels], _standardised(around, mean, std)
    return Companions(
        bands=bands,
        composite=tuple(composite),
        low=tuple(dn.min(axis=1).tolist()),
        high=tuple(dn.max(axis=1).tolist()),
        mean=tuple(mean[:, 0].tolist()),
        std=tuple(std[:, 0].tolist()),
        coefficients=tuple(
            tuple(_ridge(_features(painted, ground[channel]), logs[channel]).tolist())
            for channel in _others(bands, composite)
        ),
    )


def _ground(patch: Patch) -> Array:
    """Return the median DN (C,) of the ground around a patch's fires, or of all of it where that is hidden."""
    near, far = (dilated(patch.label, distance) for distance in _RING)
    for ground in (far & ~near & ~patch.ignore, ~patch.label & ~patch.ignore, ~patch.ignore):
        if ground.any():
            break
    return np.asarray(np.median(patch.bands[:, ground], axis=1), np.float64)


def _ridge(features: Array, values: Array) -> Array:
    """Return coefficients (F,) of features (F, n) for values (n,)."""
    penalty = _RIDGE * np.eye(len(features))
    penalty[0, 0] = 0
    return np.asarray(np.linalg.solve(features @ features.T + penalty, features @ values), np.float64)


def _standardised(dn: npt.NDArray[np.number], mean: Array, std: Array) -> Array:
    """Return standardised logarithms of DN (K, n), those below 1 taken as 1."""
    standardised: Array = (np.log(np.maximum(dn, 1).astype(np.float64)) - mean) / std
    return standardised


def _features(painted: Array, ground: Array) -> Array:
    """Return 1, the painted values (K, n), their products in pairs and the ground (n,): (F, n)."""
    first, second = np.triu_indices(len(painted))
    return np.concatenate([np.ones((1, painted.shape[1])), painted, painted[first] * painted[second], ground[None]])


def _others(bands: Sequence[str], composite: Sequence[str]) -> list[int]:
    """Return the channels that aren't in the composite."""
    return [channel for channel, band in enumerate(bands) if band not in composite]


def _column(values: tuple[float, ...]) -> Array:
    return np.array(values)[:, None]
