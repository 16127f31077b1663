"""The screening rules that come with the project."""

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judge, Judgement, Rule

if TYPE_CHECKING:
    from firefusion_assets.patchstore import PatchPart

_GROUNDS: Final = 16
"""Patches of real ground that a border is laid on, in 8 orientations each."""


class SeamRule(Rule):
    """The painted area's border may not stand out: a step that goes the same way all along it gives paint away.

    Measured in log DN, as the mean step from outside to inside across the border, in each band. The same border on
    real ground says how large such a mean is by chance; the score is the largest ratio of all bands.
    """

    rule: Literal["seam"]
    """Which rule judges."""
    max_contrast: float = Field(3.0, gt=0)
    """Largest mean step across the border, in standard deviations of such steps on real ground."""

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge; it keeps some of the train part's ground."""
        from firefusion_assets.core.seeding import generator

        ids = sorted(train.ids)
        chosen = generator("seam").permutation(len(ids))[:_GROUNDS]
        return _SeamJudge(self.max_contrast, [train.read(ids[number]).bands for number in chosen])


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
            return Judgement(contrast)
        return Judgement(contrast, f"a seam: the step around the painted area is {contrast:.1f} times the ground's own")


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
