"""What the lineage asks of engine `copy-paste`; it has no settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Engine, Painter, Run
from firefusion_assets.study.models import Study

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import PatchPart


class CopyPasteGenerator(Engine):
    """A real fire of the train part is transplanted: the control to beat."""

    copies: ClassVar[bool] = True

    engine: Literal["copy-paste"]
    """Which generator paints."""

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say so where masks lie on burning patches."""
        if config.masks.stays:
            yield (
                f"masks.kind: copy-paste would add a fire to the one that burns under {config.masks.kind} masks; "
                "use one that is moved to ground without fire, such as transplanted"
            )

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Write the library of donors; see `fitting.fit`."""
        from firefusion_assets.engines.copy_paste.fitting import fit

        return fit(train, work, run.progress)

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> Painter:
        """Return the painter of a library of donors."""
        from firefusion_assets.engines.copy_paste.painter import CopyPastePainter

        return CopyPastePainter(folder)
