"""Statistics of one part, from a single pass over its patches."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from firefusion_assets.core.seeding import generator

if TYPE_CHECKING:
    from firefusion_assets.patchstore.part import PatchPart

STATISTICS_VERSION: Final = 2
"""Raise it when the code makes other statistics from the same part."""

QUANTILES: Final = (0.01, 0.25, 0.5, 0.75, 0.99)
"""The quantiles that are kept."""
QUANTILE_SEED: Final = 1
"""The seed that they are kept for: the engines' default."""
_QUANTILE_PATCHES: Final = 256
"""Patches that quantiles are taken from; more change them little."""

_RANGE_PATCHES: Final = 512
_RANGE_PIXELS_A_PATCH: Final = 256

Pixels = npt.NDArray[np.uint16]


class PartStatistics(BaseModel):
    """What one pass over a part tells; values a band are in store order.

    Attributes:
        ids_hash: of the part's patches; see `hash_of`.
        bands: names of the store's bands.
        fire: patches with at least one fire pixel that isn't ignored, in the part's order.
        n_pixels: valid pixels.
        n_fire_pixels: valid pixels with fire.
        total: sum of each band's DN over valid pixels, exact.
        squares: sum of each band's squared DN over valid pixels, exact.
        interquartile_range: of each band's DN, at least 1, from a seeded sample of patches and of pixels of each.
        quantiles: DN by `QUANTILES` and band, as `band_quantiles` gives them for `QUANTILE_SEED`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids_hash: str
    bands: tuple[str, ...]
    fire: tuple[str, ...]
    n_pixels: int
    n_fire_pixels: int
    total: tuple[int, ...]
    squares: tuple[int, ...]
    interquartile_range: tuple[float, ...]
    quantiles: tuple[tuple[int, ...], ...]


def hash_of(ids: Sequence[str]) -> str:
    """Return a hash of patch ids and of their order."""
    return hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()


def measure(part: "PatchPart") -> PartStatistics:
    """Read each patch of a part once.

    Sums are exact integers, so they don't depend on the order of patches. Memory holds the histograms and the samples,
    however large the part.
    """
    bands, n_pixels, n_fire_pixels, fire = part.meta.bands, 0, 0, list[str]()
    total, squares = [0] * len(bands), [0] * len(bands)
    histograms = _Histograms(len(bands), part.meta.dn_max)
    for_quantiles = set(_quantile_ids(part, QUANTILE_SEED))
    order = generator("patches").permutation(len(part.ids))[:_RANGE_PATCHES]
    for_range = [part.ids[i] for i in order]
    sampled, samples = set(for_range), dict[str, Pixels]()
    for patch_id in part.ids:
        patch = part.read(patch_id)
        if burning := int((patch.label & ~patch.ignore).sum()):
            fire.append(patch_id)
            n_fire_pixels += burning
        pixels = patch.bands[:, ~patch.ignore]
        n_pixels += pixels.shape[1]
        for i, band in enumerate(pixels.astype(np.uint64)):
            total[i] += int(band.sum())
            squares[i] += int((band * band).sum())
        if patch_id in for_quantiles:
            histograms.add(pixels)
        if patch_id in sampled:
            samples[patch_id] = _sample(pixels, patch.ignore, patch.bands, patch_id)
    return PartStatistics(
        ids_hash=hash_of(part.ids),
        bands=bands,
        fire=tuple(fire),
        n_pixels=n_pixels,
        n_fire_pixels=n_fire_pixels,
        total=tuple(total),
        squares=tuple(squares),
        interquartile_range=_interquartile_range([samples[patch_id] for patch_id in for_range], len(bands)),
        quantiles=tuple(tuple(row) for row in histograms.quantiles(QUANTILES).tolist()),
    )


def band_quantiles(part: "PatchPart", seed: int, quantiles: Sequence[float]) -> npt.NDArray[np.int64]:
    """Return quantiles of each band's valid pixels, from histograms of up to 256 patches of a part.

    Args:
        part: the patches to measure; they are read again only where its statistics don't hold the figures.
        seed: of the choice of patches.
        quantiles: between 0 and 1.

    Returns:
        int64 DN (quantiles, C), bands in store order: the smallest DN that this share of pixels doesn't exceed;
        0 if no pixel is valid.
    """
    if seed == QUANTILE_SEED and set(quantiles) <= set(QUANTILES):
        kept = part.statistics.quantiles
        return np.array([kept[QUANTILES.index(quantile)] for quantile in quantiles], np.int64)
    histograms = _Histograms(len(part.meta.bands), part.meta.dn_max)
    for patch_id in _quantile_ids(part, seed):
        patch = part.read(patch_id)
        histograms.add(patch.bands[:, ~patch.ignore])
    return histograms.quantiles(quantiles)


class _Histograms:
    """Pixels by band and DN."""

    def __init__(self, n_bands: int, dn_max: int) -> None:
        self._counts = np.zeros((n_bands, dn_max + 1), np.int64)

    def add(self, pixels: Pixels) -> None:
        for band, dn in enumerate(pixels):
            self._counts[band] += np.bincount(dn, minlength=self._counts.shape[1])

    def quantiles(self, quantiles: Iterable[float]) -> npt.NDArray[np.int64]:
        counts = self._counts
        shares = counts.cumsum(axis=1) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return np.stack([(shares >= quantile).argmax(axis=1) for quantile in quantiles])


def _quantile_ids(part: "PatchPart", seed: int) -> list[str]:
    return [part.ids[i] for i in generator(seed, "scaling").permutation(len(part))[:_QUANTILE_PATCHES]]


def _sample(pixels: Pixels, ignore: npt.NDArray[np.bool_], bands: Pixels, patch_id: str) -> Pixels:
    """Return a seeded sample of a patch's valid pixels, uint16 (C, N)."""
    if pixels.shape[1] <= _RANGE_PIXELS_A_PATCH:
        return pixels
    chosen = generator("pixels", patch_id).choice(np.flatnonzero(~ignore), _RANGE_PIXELS_A_PATCH, replace=False)
    return bands.reshape(len(bands), -1)[:, chosen]


def _interquartile_range(samples: Sequence[Pixels], n_bands: int) -> tuple[float, ...]:
    if not any(sample.size for sample in samples):
        return (1.0,) * n_bands
    low, high = np.percentile(np.concatenate(samples, axis=1), [25, 75], axis=1)
    return tuple(np.maximum(high - low, 1.0).tolist())
