"""What engines that paint nothing have in common."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Engine, Run

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import PatchPart


class Unpainted(Engine):
    """An engine without paint: its model is empty, and so is its plan."""

    paints: ClassVar[bool] = False

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Write a model of nothing."""
        (work / "model.json").write_text(json.dumps({"engine": self.engine, "n": 0}) + "\n")
        return {"n": 0}

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> NoReturn:
        """Raise ValueError: nothing is painted."""
        raise ValueError(f"engine `{self.engine}` paints nothing: its plan must be empty, and it has no painter")

    def sheet_sampling(self) -> None:
        """Return None: there is nothing to show."""
