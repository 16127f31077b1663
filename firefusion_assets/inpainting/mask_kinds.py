"""The kinds of masks that come with the project."""

from typing import ClassVar, Literal

import numpy as np

from firefusion_assets.study.masks import Mask, Masks


class TransplantedMasks(Masks):
    """Real masks moved to other backgrounds."""

    kind: Literal["transplanted"] = "transplanted"
    """A real mask moved to another background, flipped and turned."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return the mask itself."""
        return fire


class AnnotatedMasks(Masks):
    """Real masks where they stand: a fire is painted anew."""

    stays: ClassVar[bool] = True

    kind: Literal["annotated"]
    """A real mask where it stands."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return the mask itself."""
        return fire


class BoxMasks(Masks):
    """Boxes of real fires' sizes, moved to other backgrounds."""

    kind: Literal["box"]
    """The box around one of a real mask's fires, moved and turned as a mask is."""

    def shape(self, fire: Mask, size: int, rng: np.random.Generator) -> Mask:
        """Return the box of one of the mask's fires."""
        from scipy.ndimage import find_objects

        from firefusion_assets.core.fires import numbered_fires

        boxes = find_objects(numbered_fires(fire))
        rows, columns = boxes[rng.integers(len(boxes))]
        return np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
