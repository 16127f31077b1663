"""The rule that finds painted fires which a generator has learned by heart, and those that were simply moved."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import find_objects

from firefusion_assets.core.fires import LARGE, numbered_fires
from firefusion_assets.core.orientation import ORIENTATIONS, turned
from firefusion_assets.inpainting.log_dn import log_dn
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judge, Judgement, Rule

if TYPE_CHECKING:
    from firefusion_assets.patchstore import PatchPart

_LIKE: Final = 2.0
"""Times that one of two compared fires may be larger than the other."""
_SHIFT: Final = 6
"""px around a painted fire's box in which a real one is looked for."""
_BANDS: Final = 3
"""Bands that are compared: those that fire changes most."""
_ALIKE: Final = 0.9
"""Correlation up to which `auto` takes nothing for a copy: few real fires don't show how alike others may be."""

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


class MemorisedRule(Rule):
    """No large fire may be one of the train part's, whichever way it was turned, flipped, shifted, or made brighter.

    The score is the highest correlation with a real fire of like size over all its pixels in the three bands that fire
    changes most, in log DN, over the 8 orientations and all shifts of some px (masked normalised cross-correlation by
    FFT: Padfield 2012, IEEE Transactions on Image Processing 21, 2706-2718). How alike fires are by chance is taken
    from the real ones, each held to those of other patches. Fires below 20 px are too small to tell.
    """

    rule: Literal["memorised"]
    """Which rule judges."""
    max_correlation: float | Literal["auto"] = Field("auto")
    """Highest correlation that isn't a copy; `auto`: the quantile of the train part's real fires, and at least 0.9."""
    quantile: float = Field(0.99, gt=0.5, lt=1)
    """For `auto`: share of real fires that are less like any of another patch."""

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge, which knows the real fires."""
        fires = _RealFires(train)
        if self.max_correlation == "auto":
            highest = max(_ALIKE, float(np.quantile([0.0, *fires.null()], self.quantile)))
        else:
            highest = self.max_correlation

        def judge(patch: ScreenedPatch) -> Judgement:
            correlation, source = fires.most_alike(patch.after, patch.label)
            if not correlation > highest:
                return Judgement(correlation, limit=highest)
            reason = f"a copy: correlates by {correlation:.2f} with the real fire of {source}"
            return Judgement(correlation, reason, highest)

        return judge


class _Fire(NamedTuple):
    """A real fire: where it burns within its box, bool (h, w), how, (bands, h, w), and that with room around it."""

    patch_id: str
    mask: Mask
    logs: Array
    surroundings: Array


class _RealFires:
    """The train part's fires that are large enough to be told apart."""

    def __init__(self, train: "PatchPart") -> None:
        # One patch after the other: of all only the fires are kept.
        gains = []
        for patch in map(train.read, train.statistics.fire):
            if not patch.label.all():
                logs = log_dn(patch.bands)
                gains.append(logs[:, patch.label].mean(1) - logs[:, ~patch.label].mean(1))
        order = (
            np.argsort(-np.abs(np.mean(gains, axis=0)), kind="stable") if gains else np.arange(len(train.meta.bands))
        )
        self._bands = np.sort(order[:_BANDS])
        within, fires = [], []
        for patch_id in train.statistics.fire:
            patch = train.read(patch_id)
            logs = log_dn(patch.bands[self._bands])
            within.append(logs[:, patch.label])
            fires += [
                _Fire(patch_id, mask, logs[:, *box].copy(), logs[:, *_widened(box)].copy())
                for box, mask in _large(patch.label & ~patch.ignore)
            ]
        self._scale = np.maximum(np.concatenate(within, axis=1).std(1), 1e-3)[:, None, None] if within else 1.0
        self._fires = [
            fire._replace(logs=fire.logs / self._scale, surroundings=fire.surroundings / self._scale) for fire in fires
        ]

    def null(self) -> list[float]:
        """Return the highest correlation of each real fire with those of other patches, where there are like ones."""
        found = [self._most_alike(fire.surroundings, fire.mask.sum(), fire.patch_id)[0] for fire in self._fires]
        return [one for one in found if np.isfinite(one)]

    def most_alike(self, bands: npt.NDArray[np.uint16], label: Mask) -> tuple[float, str]:
        """Return the highest correlation of a patch's fires, and whose fire it is; nan where none can be told."""
        seen = self._seen(bands)
        found = [self._most_alike(seen[:, *_widened(box)], mask.sum()) for box, mask in _large(label)]
        return max((one for one in found if np.isfinite(one[0])), default=(float("nan"), ""))

    def _seen(self, bands: npt.NDArray[np.uint16]) -> Array:
        """Return log DN of the compared bands over their spread in real fires."""
        logs: Array = log_dn(bands[self._bands]) / self._scale
        return logs

    def _most_alike(self, crop: Array, size: int, but: str = "") -> tuple[float, str]:
        field = _Field(crop)
        found = [
            (field.correlation(turned(fire.logs, turn), turned(fire.mask, turn)), fire.patch_id)
            for fire in self._fires
            if fire.patch_id != but and 1 / _LIKE <= fire.mask.sum() / size <= _LIKE
            for turn in range(ORIENTATIONS)
        ]
        return max((one for one in found if np.isfinite(one[0])), default=(float("nan"), ""))


class _Field:
    """What a fire is looked for in, (bands, H, W); its spectra are computed once."""

    def __init__(self, crop: Array) -> None:
        self._size = crop.shape[1:]
        self._padded = tuple(next_fast_len(length, real=True) for length in self._size)
        centred = crop - crop.mean(axis=(1, 2), keepdims=True)
        self._spectrum, self._power = (rfft2(planes, self._padded) for planes in (centred, (centred**2).sum(0)))

    def correlation(self, logs: Array, mask: Mask) -> float:
        """Return the highest correlation with a fire over all places where it fits; nan where it doesn't."""
        rows, columns = (whole - part + 1 for whole, part in zip(self._size, mask.shape, strict=True))
        if rows < 1 or columns < 1:
            return float("nan")
        pixels = int(mask.sum())
        fire = np.where(mask, logs - logs[:, mask].mean(1)[:, None, None], 0.0)
        spectrum, area = (np.conj(rfft2(planes, self._padded)) for planes in (fire, mask.astype(np.float64)))
        both = irfft2((self._spectrum * spectrum).sum(0), self._padded)
        sums = irfft2(self._spectrum * area, self._padded)
        squares = irfft2(self._power * area, self._padded) - (sums**2).sum(0) / pixels
        norm = np.sqrt(np.maximum(squares, 1e-9) * max((fire**2).sum(), 1e-9))
        return float((both / norm)[:rows, :columns].max())


def _large(label: Mask) -> Iterator[tuple[tuple[slice, slice], Mask]]:
    """Yield box and mask (within it) of each fire of 20 px and more."""
    numbers = numbered_fires(label)
    for number, box in enumerate(find_objects(numbers), start=1):
        mask = numbers[box] == number
        if mask.sum() >= LARGE:
            yield box, mask


def _widened(box: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(max(side.start - _SHIFT, 0), side.stop + _SHIFT) for side in box)
    return rows, columns
