"""What the lineage asks of engine `none`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn

from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Engine, Run

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import PatchPart


class NoGenerator(Engine):
    """Nothing is added: the controls."""

    paints: ClassVar[bool] = False

    engine: Literal["none"] = "none"
    """Which generator paints."""
    repeat_fire: bool = True
    """Whether batches show real fire where other configs show paint, so that all learn from as much fire; otherwise the
    patches come as they are, all of them equally often."""

    def repeats_fire(self) -> bool:
        """Return the setting."""
        return self.repeat_fire

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Write a model of nothing."""
        (work / "model.json").write_text(json.dumps({"engine": "none", "n": 0}) + "\n")
        return {"n": 0}

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> NoReturn:
        """Raise ValueError: nothing is painted."""
        raise ValueError("engine `none` paints nothing: its plan must be empty, and no painter is loaded for it")

    def sheet_sampling(self) -> None:
        """Return None: there is nothing to show."""
