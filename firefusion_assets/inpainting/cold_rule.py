"""The rule that finds labels of which a part doesn't burn."""

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.core.fires import LARGE
from firefusion_assets.inpainting.log_dn import log_dn
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judge, Judgement, Rule

if TYPE_CHECKING:
    from firefusion_assets.patchstore import PatchPart

_COLD: Final = 0.25
"""Share of a real fire's typical contrast to the ground below which a pixel is cold."""
_ALLOWED: Final = 0.25
"""Share of cold pixels that `auto` always allows: few real fires don't show how cold the edges of others may be."""

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


class ColdRule(Rule):
    """A large label may not hold more ground than those of real fires do.

    A pixel's contrast is its log DN over the median of the ground in the patch, projected on the mean contrast of real
    fires: 1 is typical of fire, 0 is ground, and below 0.25 it is cold. Labels below 20 px are too small to tell, and
    so are patches without ground.
    """

    rule: Literal["cold"]
    """Which rule judges."""
    max_share: float | Literal["auto"] = Field("auto")
    """Largest share of the label's pixels that may be cold; `auto`: the quantile of the train part's real fires, and at
    least 0.25."""
    quantile: float = Field(0.98, gt=0.5, lt=1)
    """For `auto`: share of real fires that hold fewer cold pixels."""

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge, which knows how real fires stand out; without one it can't tell."""
        gains = []
        for patch in map(train.read, train.statistics.fire):
            label, ground = patch.label & ~patch.ignore, ~patch.label & ~patch.ignore
            if ground.any():
                gains.append(np.median(_contrast(patch.bands, ground)[:, label], axis=1))
        if not gains:
            return lambda patch: Judgement(float("nan"))
        gain = np.mean(gains, axis=0)
        direction = gain / max(float((gain**2).sum()), 1e-9)

        def cold_share(bands: npt.NDArray[np.uint16], label: Mask, ground: Mask) -> float:
            if label.sum() < LARGE or not ground.any():
                return float("nan")
            return float((direction @ _contrast(bands, ground)[:, label] < _COLD).mean())

        if self.max_share == "auto":
            fires = (train.read(patch_id) for patch_id in train.statistics.fire)
            real = [cold_share(fire.bands, fire.label & ~fire.ignore, ~fire.label & ~fire.ignore) for fire in fires]
            known = [share for share in real if not np.isnan(share)]
            highest = max(_ALLOWED, float(np.quantile([0.0, *known], self.quantile)))
        else:
            highest = self.max_share

        def judge(patch: ScreenedPatch) -> Judgement:
            share = cold_share(patch.after, patch.label, ~patch.edit & (patch.after > 0).all(0))
            if not share > highest:
                return Judgement(share, limit=highest)
            return Judgement(share, f"{share:.0%} of the label are as cold as ground, allowed {highest:.0%}", highest)

        return judge


def _contrast(bands: npt.NDArray[np.uint16], ground: Mask) -> Array:
    """Return log DN over the median of the ground in each band, (C, H, W)."""
    logs = log_dn(bands)
    contrast: Array = logs - np.median(logs[:, ground], axis=1)[:, None, None]
    return contrast
