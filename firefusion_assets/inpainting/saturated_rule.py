"""The rule that finds paint which saturates the sensor more often, or more seldom, than real fires do."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.core.fires import LARGE
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judge, Judgement, Rule

if TYPE_CHECKING:
    from firefusion_assets.patchstore import PatchPart
    from firefusion_assets.study.models import Study

_FEWEST: Final = 4
"""Real fires of that size without which nothing is known of such shares."""
_LEAST_ALIKE: Final = 1e-4
"""Correlation of a fire's pixels that is taken at least: those of no two fires saturate alike."""

Counts = npt.NDArray[np.int64]


class SaturatedRule(Rule):
    """As much of a large fire has to saturate B7 as of real ones, and no more.

    How many pixels of a fire saturate is taken to follow a beta-binomial distribution, fitted to the train part's own
    fires of 20 px and more by moments (Kleinman 1973, Journal of the American Statistical Association 68, 46-54): fires
    differ, and of small ones chance decides more. Smaller fires, and all where the train part has fewer than four such,
    can't be told.
    """

    rule: Literal["saturated"]
    """Which rule judges."""
    quantile: float = Field(0.02, gt=0, lt=0.5)
    """Chance of a real fire with as few saturated pixels, or with as many, below which a patch is rejected."""

    def misfits(self, study: "Study") -> Iterator[str]:
        """Say so where there is no B7 of Landsat."""
        if not study.dataset.landsat or "B7" not in study.dataset.bands:
            yield "rule: saturated looks at B7 of Landsat, which the data lack; leave the rule out"

    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge, which knows the shares of real fires."""
        from scipy.stats import betabinom

        from firefusion_assets.landsat.detectors import SATURATED

        band = train.meta.bands.index("B7")
        fires = (patch for patch in map(train.read, train.statistics.fire) if patch.label.sum() >= LARGE)
        hot = [fire.bands[band, fire.label] == SATURATED for fire in fires]
        counts = np.array([(one.sum(), one.size) for one in hot], np.int64).reshape(-1, 2)
        a, b = _beta(counts[:, 0], counts[:, 1]) if len(counts) >= _FEWEST else (1.0, 1.0)

        def judge(patch: ScreenedPatch) -> Judgement:
            pixels = int(patch.label.sum())
            if pixels < LARGE or len(counts) < _FEWEST:
                return Judgement(float("nan"))
            saturated = int((patch.after[band, patch.label] == SATURATED).sum())
            share, found = saturated / pixels, betabinom(pixels, a, b)
            if min(found.cdf(saturated), found.sf(saturated - 1)) >= self.quantile:
                return Judgement(share)
            low, high = (found.ppf(chance) / pixels for chance in (self.quantile, 1 - self.quantile))
            return Judgement(
                share, f"{share:.0%} of the label saturate B7, of real fires of this size {low:.0%} to {high:.0%}"
            )

        return judge


def _beta(saturated: Counts, pixels: Counts) -> tuple[float, float]:
    """Return the parameters of the beta distribution that fires' shares of saturated pixels follow."""
    # Half a pixel keeps a share that was never seen possible.
    mean = (saturated.sum() + 0.5) / (pixels.sum() + 1)
    weights = pixels / pixels.sum()
    spread = float((weights * (saturated / pixels - mean) ** 2).sum())
    by_chance = mean * (1 - mean)
    rest = weights * (1 - weights)
    alike = (spread - by_chance * (rest / pixels).sum()) / (by_chance * (rest - rest / pixels).sum())
    total = 1 / float(np.clip(alike, _LEAST_ALIKE, 0.9)) - 1
    return float(mean * total), float((1 - mean) * total)
