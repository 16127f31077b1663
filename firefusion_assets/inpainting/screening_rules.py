"""The screening rules that come with the project."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.inpainting.log_dn import log_dn
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Auto, Judge, Judgement, LimitedRule

if TYPE_CHECKING:
    from firefusion_assets.patchstore import Patch, PatchPart
    from firefusion_assets.study.models import Study

_PIXELS: Final = 4000
"""Pixels of real fires that painted ones are compared with, at most."""

_GROUNDS: Final = 16
"""Patches of real ground that a border is laid on, in 8 orientations each."""


class SeamRule(LimitedRule):
    """The painted area's border may not stand out: a step that goes the same way all along it gives paint away.

    Measured in log DN, as the mean step from outside to inside across the border, in each band. The same border on
    real ground says how large such a mean is by chance; the score is the largest ratio of all bands.
    """

    limited_by: ClassVar[str] = "max_contrast"

    rule: Literal["seam"]
    """Which rule judges."""
    max_contrast: Annotated[float, Field(gt=0)] | Auto = 3.0
    """Largest mean step across the border, in standard deviations of such steps on real ground; `auto`: that of real
    fires where the border would be, whose glow reaches across it; 3 where fewer than 8 burn."""

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge; it keeps some of the train part's ground."""
        from firefusion_assets.core.seeding import generator

        ids = sorted(train.ids)
        chosen = generator("seam").permutation(len(ids))[:_GROUNDS]
        return _SeamJudge(self.highest, [train.read(ids[number]).bands for number in chosen])


class _SeamJudge:
    def __init__(self, max_contrast: float, grounds: list[npt.NDArray[np.uint16]]) -> None:
        from firefusion_assets.core.orientation import ORIENTATIONS, turned

        self._max_contrast, self._grounds = max_contrast, grounds
        places = np.arange(grounds[0][0].size).reshape(grounds[0][0].shape)
        self._turned = [turned(places, turn).ravel() for turn in range(ORIENTATIONS)]

    def __call__(self, patch: ScreenedPatch) -> Judgement:
        inside, outside = _border(patch.edit)
        step = _mean_step(patch.after, inside, outside)
        chance = np.array(
            [_mean_step(ground, places[inside], places[outside]) for ground in self._grounds for places in self._turned]
        )
        counts = np.isfinite(chance).sum(0)
        spread = np.sqrt(np.nansum(chance**2, axis=0) / np.maximum(counts, 1))
        known = np.isfinite(step) & (spread > 0)
        if not known.any():  # the whole patch is painted, or nothing is known of its ground
            return Judgement(float("nan"))
        contrast = float((np.abs(step[known]) / spread[known]).max())
        if contrast <= self._max_contrast:
            return Judgement(contrast, limit=self._max_contrast)
        reason = f"a seam: the step around the painted area is {contrast:.1f} times the ground's own"
        return Judgement(contrast, reason, self._max_contrast)


class SpectrumRule(LimitedRule):
    """Fire pixels have to look like real ones in all bands together.

    Measured in log DN over the real fire pixels' spread in each band, as the distance to the nearest real fire pixel.
    Real fire pixels, held to those of other patches alone, say which distance is usual.
    """

    limited_by: ClassVar[str] = "max_share"

    rule: Literal["spectrum"]
    """Which rule judges."""
    usual: float = Field(0.95, gt=0.5, lt=1)
    """Share of real fire pixels that are at a usual distance."""
    max_share: Annotated[float, Field(ge=0, le=1)] | Auto = 0.5
    """Largest share of the label's pixels that may be further from real fire than is usual; `auto`: that of real
    fires, each held to other patches; 0.5 where fewer than 8 burn."""

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge, which knows real fire pixels; with fires in fewer than two patches it can't tell."""
        from scipy.spatial import KDTree

        from firefusion_assets.core.seeding import generator

        pixels, patch_of = [], []
        for number, patch in enumerate(_burning(train)):
            logs = log_dn(patch.bands[:, patch.label].T)
            pixels.append(logs)
            patch_of.append(np.full(len(logs), number))
        if len(pixels) < 2:
            return lambda patch: Judgement(float("nan"))
        real, of = np.concatenate(pixels), np.concatenate(patch_of)
        chosen = np.sort(generator("spectrum").permutation(len(real))[:_PIXELS])
        real, of = real[chosen], of[chosen]
        if len(np.unique(of)) < 2:  # one fire outnumbers the others by far
            return lambda patch: Judgement(float("nan"))
        scale = np.maximum(real.std(0), 1e-3)
        real = real / scale
        cross_fitted = np.concatenate([KDTree(real[of != one]).query(real[of == one])[0] for one in np.unique(of)])
        tree, radius = KDTree(real), float(np.quantile(cross_fitted, self.usual))

        def judge(patch: ScreenedPatch) -> Judgement:
            logs = log_dn(patch.after[:, patch.label].T) / scale
            share = float((tree.query(logs)[0] > radius).mean())
            if share <= self.highest:
                return Judgement(share, limit=self.highest)
            reason = f"{share:.0%} of the label looks like no real fire pixel in all bands together"
            return Judgement(share, reason, self.highest)

        return judge


class OutsideRule(LimitedRule):
    """No fire may burn outside the label, where it would be learned as ground."""

    limited_by: ClassVar[str] = "max_share"

    rule: Literal["outside"]
    """Which rule judges."""
    detector: Literal["schroeder", "murphy", "kumar-roy"] = "murphy"
    """Who sees fire; but for `schroeder` they can't tell where the sun's elevation is unknown."""
    max_share: Annotated[float, Field(ge=0)] | Auto = 0.5
    """Most pixels of fire in the edit area outside the label, as share of the label's pixels; `auto`: what the
    detector sees around the labels of real fires; 0.5 where fewer than 8 burn."""

    def misfits(self, study: "Study") -> Iterator[str]:
        """Say so where the detector can't be used."""
        from firefusion_assets.landsat.detectors import DETECTOR_BANDS

        missing = [band for band in DETECTOR_BANDS[self.detector] if band not in study.dataset.bands]
        if not study.dataset.landsat:
            yield f"detector: {self.detector} is made for Landsat DN; leave the rule out"
        elif missing:
            yield f"detector: {self.detector} needs {', '.join(missing)}; add them to dataset.bands"

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge; it learns nothing."""
        return self._judge

    def _judge(self, patch: ScreenedPatch) -> Judgement:
        from firefusion_assets.landsat.detectors import SUNLESS_DETECTORS, detect

        sun = None if np.isnan(patch.sun_elevation) else patch.sun_elevation
        if sun is None and self.detector not in SUNLESS_DETECTORS:
            return Judgement(float("nan"))
        around = patch.edit & ~patch.label
        seen = [
            detect([self.detector], dict(zip(patch.bands, bands, strict=True)), sun)[self.detector]
            for bands in (patch.before, patch.after)
        ]
        share = float((seen[1] & ~seen[0] & around).sum() / max(1, patch.label.sum()))
        if share <= self.highest:
            return Judgement(share, limit=self.highest)
        return Judgement(share, f"fire outside the label: {share:.0%} of its size", self.highest)


def _burning(train: "PatchPart") -> "Iterator[Patch]":
    return (patch for patch in map(train.read, train.ids) if patch.label.any())


def _border(edit: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the flat places of neighbours inside and outside of an edit mask, pair by pair."""
    places = np.arange(edit.size).reshape(edit.shape)
    pairs = []
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        for one, other in ((here, there), (there, here)):
            across = edit[one] & ~edit[other]
            pairs.append((places[one][across], places[other][across]))
    inside, outside = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return inside, outside


def _mean_step(
    bands: npt.NDArray[np.uint16], inside: npt.NDArray[np.intp], outside: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Return the mean step in log DN from outside to inside in each band, fill left out (nan where all is)."""
    flat = bands.reshape(len(bands), -1)
    within, beyond = flat[:, inside].astype(np.float64), flat[:, outside].astype(np.float64)
    valid = (within > 0) & (beyond > 0)
    steps = np.log(np.maximum(within, 1)) - np.log(np.maximum(beyond, 1))
    with np.errstate(invalid="ignore"):
        return np.asarray((steps * valid).sum(1) / valid.sum(1))
