"""Engine `wrong-labels`: copy-paste that teaches other pixels; who can't tell it from good paint measures nothing."""

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.study.engine import ScreenedPatch

if TYPE_CHECKING:
    from firefusion_assets.study.models import Study

_SHIFT: Final = 8
"""px by which the labels miss the fires."""


class WrongLabelsGenerator(CopyPasteGenerator):
    """Real fires transplanted, with labels beside them: the control that must lose."""

    engine: Literal["wrong-labels"]  # type: ignore[assignment]  # another name is what makes it another engine
    """Which generator paints."""

    def expected(self, study: "Study") -> Literal["worse"]:
        """Return that it has to be worse than the baseline."""
        return "worse"

    def taught(self, patch: ScreenedPatch) -> npt.NDArray[np.bool_]:
        """Return the label with what was painted moved by 8 px; what leaves one side comes back on the other."""
        wrong: npt.NDArray[np.bool_] = (patch.label & ~patch.edit) | np.roll(patch.label & patch.edit, _SHIFT, axis=1)
        return wrong
