"""The rule that finds paint which went through 8 bits."""

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judge, Judgement, Rule

if TYPE_CHECKING:
    from firefusion_assets.patchstore import PatchPart

_FEWEST: Final = 10
"""Different values of a band without which its steps can't be told."""
_PATCHES: Final = 16
"""Patches of the train part whose finest step is looked for."""


class DepthRule(Rule):
    """The label's values may not lie on a coarser grid than the data's, as those of an 8-bit picture do.

    Of n values spread at random over a range R the smallest gap exceeds g with a chance of about exp(-n (n - 1) g / R)
    (Pyke 1965, Journal of the Royal Statistical Society B 27, 395-449), and values that cluster lie closer still. The
    score is that chance for all bands together, over what the data's own step explains.
    """

    rule: Literal["depth"]
    """Which rule judges."""
    least_chance: float = Field(1e-4, gt=0, lt=0.1)
    """Chance of such gaps in data as fine as the train part's, below which a patch is rejected."""

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge, which knows the finest step of each band in the train part."""
        from scipy.stats import gamma

        from firefusion_assets.core.seeding import generator

        ids = sorted(train.ids)
        chosen = [ids[number] for number in generator("depth").permutation(len(ids))[:_PATCHES]]
        steps = np.array([[_gap(np.unique(band)) for band in train.read(patch_id).bands] for patch_id in chosen])
        finest, dn_max = steps.min(axis=0), train.meta.dn_max

        def judge(patch: ScreenedPatch) -> Judgement:
            terms = []
            for before, after, step in zip(patch.before, patch.after, finest, strict=True):
                painted = after[patch.label & patch.edit & (after != before) & (after < dn_max)]
                values = np.unique(painted).astype(np.float64)
                if len(values) >= _FEWEST and np.isfinite(step):
                    gap = max(_gap(values) - step, 0.0)
                    terms.append(len(values) * (len(values) - 1) * gap / (values[-1] - values[0]))
            if not terms:
                return Judgement(float("nan"))
            chance = float(gamma.sf(sum(terms), len(terms)))
            if chance >= self.least_chance:
                return Judgement(chance, limit=self.least_chance)
            reason = "the label's values lie on a coarse grid, as those of an 8-bit picture do"
            return Judgement(chance, reason, self.least_chance)

        return judge


def _gap(values: npt.NDArray[np.number]) -> float:
    """Return the smallest difference of sorted, different values; infinite of fewer than two."""
    return float(np.diff(values.astype(np.float64)).min()) if len(values) > 1 else float("inf")
