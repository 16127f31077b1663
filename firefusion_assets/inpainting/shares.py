"""Which shares of a label, and of each of its fires, changed and are detected, and what is too little.

Few pixels may miss a share by chance.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.inpainting.masks import Mask
from firefusion_assets.study.augmentation import Screening

_CHANCE: Final = 0.05
"""How rarely a fire that meets a threshold on the whole may be rejected for its few pixels."""

_TOLD: Final = 3
"""Fires that a reason names at most."""


class FireVerdict(NamedTuple):
    """What screening says of one connected fire of a label.

    Attributes:
        y: row of its first pixel.
        x: column of that.
        pixels: its size.
        changed_share: share of it that changed.
        detected_share: share of it that the detectors confirm; missing without detectors.
        reason: in words, why it doesn't count as painted; empty if it does.
    """

    y: int
    x: int
    pixels: int
    changed_share: float
    detected_share: float
    reason: str


class Shares:
    """Judges the shares of painted patches.

    Args:
        settings: the config's.
        limits: what stands for limits that are `auto`; without them these reject nothing.
    """

    def __init__(self, settings: Screening, limits: Mapping[str, float]) -> None:
        self._settings = settings
        self._least_changed, self._least_detected = (
            limits.get(name, 0.0) if least == "auto" else least
            for name, least in (("changed", settings.min_changed), ("detected", settings.min_detected))
        )

    def shortfalls(self, changed: npt.NDArray[np.bool_], detected: npt.NDArray[np.bool_], of: str) -> list[str]:
        """Say which shares some pixels miss.

        Args:
            changed: bool (N,), those that changed.
            detected: bool (N,), those that detectors confirm.
            of: what the pixels are, in words.
        """
        found = []
        if _too_few(changed, self._least_changed):
            found.append(f"only {changed.mean():.0%} of {of} changed")
        nothing = self._settings.label == "refined" and self._least_detected > 0 and not detected.any()
        if self._settings.detectors and (nothing or _too_few(detected, self._least_detected)):
            found.append(f"only {detected.mean():.0%} of {of} is detected")
        return found

    def fires(self, label: Mask, changed: Mask, detected: Mask) -> list[FireVerdict]:
        """Judge each connected fire of a label by itself, in the order of `numbered_fires`; masks are bool (H, W)."""
        places, numbers = np.argwhere(label), numbered_fires(label)[label]
        return [
            self._fire(places[fire], changed[label][fire], detected[label][fire])
            for fire in (numbers == number for number in range(1, numbers.max(initial=0) + 1))
        ]

    def _fire(
        self, places: npt.NDArray[np.intp], changed: npt.NDArray[np.bool_], detected: npt.NDArray[np.bool_]
    ) -> FireVerdict:
        shortfalls = self.shortfalls(changed, detected, "it")
        if self._least_changed > 0 and not changed.any():  # the shares would leave that to chance where pixels are few
            shortfalls = ["nothing of it changed"]
        y, x = map(int, places[0])
        detected_share = float(detected.mean()) if self._settings.detectors else float("nan")
        return FireVerdict(y, x, len(places), float(changed.mean()), detected_share, "; ".join(shortfalls))

    def of_fires(self, fires: Sequence[FireVerdict]) -> list[str]:
        """Say which fires keep their patch from being learned from."""
        missed = [fire for fire in fires if fire.reason]
        enough = {"together": len(fires) + 1, "ignore": len(fires), "reject": 1}[self._settings.fires]
        if len(missed) < enough:
            return []
        told = ", ".join(f"{one.pixels} px at row {one.y}, column {one.x} ({one.reason})" for one in missed[:_TOLD])
        more = f", and {len(missed) - _TOLD} more" if len(missed) > _TOLD else ""
        return [f"{len(missed)} of {len(fires)} fires {'is' if len(missed) == 1 else 'are'} not painted: {told}{more}"]


def _too_few(found: npt.NDArray[np.bool_], least: float) -> bool:
    """Tell whether a share of pixels is below the least one by more than chance (binomial, 5 %)."""
    return bool(found.mean() < least and binom.cdf(found.sum(), len(found), least) < _CHANCE)
