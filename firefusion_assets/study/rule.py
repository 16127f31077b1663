"""What a screening rule is: one entry of `screening.rules`, which judges painted patches beside the rules of their own.

Light to import: a method that fits imports what it needs when it is called.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, Self

from pydantic import Field

from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.part import Part

if TYPE_CHECKING:
    from firefusion_assets.patchstore import PatchPart
    from firefusion_assets.study.models import Study


Auto = Literal["auto"]
"""Stands for a limit that is taken from the train part's real fires."""


class Judgement(NamedTuple):
    """What a rule says of a painted patch.

    Attributes:
        score: what was measured; missing (nan) where the rule can't tell.
        reason: why the patch may not be learned from, in words; empty if it may.
        limit: the score between patches that may and that may not, where there is one for all.
    """

    score: float
    reason: str = ""
    limit: float | None = None


class Judge(Protocol):
    """A rule that knows the train part."""

    def __call__(self, patch: ScreenedPatch) -> Judgement:
        """Judge one painted patch; the same patch gets the same judgement, in whatever order."""
        ...


class Rule(Part):
    """A rule that painted patches have to pass.

    A subclass declares ``rule: Literal["NAME"]`` and its settings, and is found by an entry point of the `group`. Its
    score stands in the verdicts as `NAME_score`.
    """

    group: ClassVar[str] = "firefusion.screening_rules"
    named_by: ClassVar[str] = "rule"

    rule: str
    """Which rule judges."""

    def misfits(self, study: "Study") -> Iterable[str]:
        """Say what doesn't fit the study's data: a line ``KEY: PROBLEM; REMEDY`` each, the key one of the rule's."""
        return ()

    @abstractmethod
    def fitted(self, train: "PatchPart") -> Judge:
        """Return the judge of a fold.

        Args:
            train: the fold's train part: all that a threshold may be taken from.
        """


class LimitedRule(Rule):
    """A rule that rejects above a score which may be `auto`: the quantile of real fires that are judged as paint.

    A subclass names the key of that score. Its default, a number, stands in where too few real fires burn.
    """

    limited_by: ClassVar[str]
    """Key of the highest score that passes: a number, or `auto`."""

    quantile: float = Field(0.98, gt=0.5, lt=1)
    """For `auto`: share of the train part's real fires of 20 px and more whose scores pass."""

    @property
    def highest(self) -> float:
        """The highest score that passes; infinite as long as it is `auto`."""
        limit = getattr(self, self.limited_by)
        return float("inf") if limit == "auto" else float(limit)

    def limited(self, highest: float) -> Self:
        """Return the rule with a number as its limit."""
        return self.model_copy(update={self.limited_by: highest})
