"""What the lineage asks of engine `physics`; it has no settings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Engine, Painter, Run, ScreenedPatch
from firefusion_assets.study.models import Study

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import PatchPart


class PhysicsGenerator(Engine):
    """Flames and embers of a drawn temperature mix with the ground: the simulator's own fires, or on real patches a
    competitor that learns nothing.
    """

    engine: Literal["physics"]
    """Which generator paints."""

    def expected(self, study: Study) -> Literal["", "better"]:
        """Return that it has to be better than the baseline on simulated scenes, whose fires it knows."""
        return "better" if study.dataset.simulated else ""

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say so where bands are no DN of Landsat-8, or B7 is missing."""
        yield from unknown_to_physics(study, "generator.engine")

    def taught(self, patch: ScreenedPatch) -> npt.NDArray[np.bool_]:
        """Return where fire has added to B7 what makes a pixel burn in the simulation's labels too."""
        from firefusion_assets.engines.physics.painter import burning

        burns = burning(patch.bands, patch.before, patch.after)
        taught: npt.NDArray[np.bool_] = np.where(patch.edit, burns, patch.label)
        return taught

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Note what the store holds; nothing is learned."""
        model = {"engine": self.engine, "bands": train.meta.bands, "dn_max": train.meta.dn_max}
        (work / "model.json").write_text(json.dumps(model) + "\n")
        return {"n_bands": len(train.meta.bands)}

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> Painter:
        """Return the painter for the bands of a store."""
        from firefusion_assets.engines.physics.painter import PhysicsPainter

        model = json.loads((folder / "model.json").read_text())
        return PhysicsPainter(model["bands"], model["dn_max"])


def unknown_to_physics(study: Study, key: str) -> Iterator[str]:
    """Say so, of a key of the config, where bands are no DN of Landsat-8, or B7 is missing."""
    unknown = [band for band in study.dataset.bands if band not in FILE_BANDS]
    if not study.dataset.landsat or unknown:
        yield f"{key}: physics knows the DN of Landsat-8 only; use another engine for other images"
    elif "B7" not in study.dataset.bands:
        yield f"{key}: physics needs B7, which dataset.bands leaves out; add it there"
