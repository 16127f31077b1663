"""What a kind of masks is: `masks` of a config, and how a real fire's mask becomes the shape of a painted one."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.landsat.bands import CONDITION_BANDS
from firefusion_assets.study.part import Part

if TYPE_CHECKING:
    from firefusion_assets.study.models import Study

Mask = npt.NDArray[np.bool_]


class Masks(Part):
    """Where fires are painted."""

    group: ClassVar[str] = "firefusion.mask_kinds"
    named_by: ClassVar[str] = "kind"
    unnamed: ClassVar[str] = "transplanted"
    stays: ClassVar[bool] = False
    """Whether a fire is painted where the real one burns, instead of on a background without fire."""

    kind: str
    """What the shapes are made of."""
    source: Literal["label", "schroeder", "murphy", "kumar-roy", "intersection", "voting"] = "label"
    """Whose mask of a real fire: its label, or what a fire detector sees of it (`voting`: at least two of the three,
    `intersection`: all)."""
    whole: bool = False
    """Leave out fires that the border of their patch cuts off, and with them masks that end in straight edges."""
    avoid: tuple[Literal["cloud", "snow", "water"], ...] = ()
    """Where no label may lie, told by Landsat's reflectance in B2, B4, B5 and B6; fill and a background's own fires
    never hold one."""
    beside: tuple[Literal["smoke", "scar"], ...] = Field((), exclude_if=lambda asked: not asked)
    """What is painted beside a fire where the train part shows it: a plume of smoke, a burn scar. For DN of Landsat
    with B2, B4, B5, B6 and B7."""
    dilation: int = Field(3, ge=1, le=16)
    """px by which the edit mask is larger than the label mask."""

    def misfits(self, study: "Study") -> Iterable[str]:
        """Say what doesn't fit the study's data: a line ``KEY: PROBLEM; REMEDY`` each."""
        for key, needed in (("avoid", CONDITION_BANDS), ("beside", (*CONDITION_BANDS, "B7"))):
            if not getattr(self, key):
                continue
            missing = [band for band in needed if band not in study.dataset.bands]
            if self.stays:
                yield f"{key}: {self.kind} masks stay where real fires burn; leave it out"
            if not study.dataset.landsat:
                yield f"{key}: told by Landsat's reflectance; with source `{study.dataset.source}` leave it out"
            elif missing:
                without = "which dataset.bands leaves out; add them there, or leave it out"
                yield f"{key}: needs {', '.join(missing)}, {without}"

    @abstractmethod
    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return the shape of a fire to paint; it is turned and moved to a place that is free.

        Args:
            fire: bool, a real mask of one patch, cut to its bounding box.
            size: px of a patch's side, which the shape may have at most.
            rng: where all draws come from, so that a seed gives the same shape again.

        Returns:
            bool (H, W), with at least one pixel of fire in each outermost row and column.
        """
