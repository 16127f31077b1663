"""An engine as another package would bring it: every fire has one DN, which stands in a file of the study."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.engines.contract import compose
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Engine, Run
from firefusion_assets.study.models import Study


class ToyGenerator(Engine):
    """Paints labels flat."""

    reads: ClassVar[tuple[str, ...]] = ("strength",)

    engine: Literal["toy"]
    """Which generator paints."""
    heat: str
    """File with the DN."""

    @classmethod
    def broken_files(cls, settings: Mapping[str, Any], folder: Path) -> Iterator[str]:
        if not (folder / str(settings.get("heat"))).is_file():
            yield f"generator.heat: there is no {settings.get('heat')}; write a DN into it"

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        if study.split.folds > 1:
            yield "generator.engine: a toy has one fold; set split.folds to 1"

    def resolved(self, folder: Path) -> Self:
        return self.model_copy(update={"heat": str(folder / self.heat)})

    def problems(self, sampling: Sampling, fitting: bool) -> Iterator[str]:
        if not Path(self.heat).read_text().strip().isdecimal():
            yield f"generator.heat: holds {Path(self.heat).read_text()!r}; write a DN into it"

    def fingerprint_part(self, folder: Path, hash_folder: Callable[[Path], str]) -> Any:
        return [self.model_dump(mode="json"), (folder / self.heat).read_text()]

    def fit(self, train: PatchPart, work: Path, run: Run) -> dict[str, float]:
        run.progress("playing")
        model = {"heat": int(Path(self.heat).read_text()), "dn_max": train.meta.dn_max}
        (work / "toy.json").write_text(json.dumps(model))
        return {"n_toys": 1}

    def load(self, folder: Path, sampling: Sampling, rows: pd.DataFrame | None = None) -> "ToyPainter":
        return ToyPainter(**json.loads((folder / "toy.json").read_text()))

    def bit_depths(self, folder: Path, rows: pd.DataFrame) -> list[int]:
        return [1] * len(rows)


class ToyPainter:
    """Sets label pixels to one DN in all bands."""

    def __init__(self, heat: int, dn_max: int) -> None:
        self._heat, self._dn_max = heat, dn_max

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        painted = np.where(labels[:, None], np.float32(self._heat), backgrounds.astype(np.float32))
        return compose(painted, backgrounds, edits, self._dn_max)
