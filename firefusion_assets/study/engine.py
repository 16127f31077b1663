"""What an engine is: the settings of a config's `generator`, and everything that the lineage asks of what paints.

Light to import: a method that fits or paints imports what it needs when it is called.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.bands import FALSE_COLOUR
from firefusion_assets.study.part import Part

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import Patch, PatchPart
    from firefusion_assets.study.augmentation import Augmentation, Sampling
    from firefusion_assets.study.models import Study

Progress = Callable[[str], None]
"""Called with words on how far the work is."""
Launch = Callable[[str, Path], None]
"""Runs an engine's `trainer` on a job file, in processes of its own; raises if it failed."""


class Painter(Protocol):
    """A fitted engine."""

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch.

        The bytes of a painted patch follow from its own arguments and the batch it is painted in.

        Args:
            backgrounds: uint16 DN (N, C, H, W), bands in store order.
            labels: bool (N, H, W), where fire shall be.
            edits: bool (N, H, W), what may change; holds the label.
            seeds: int64 (N,), a seed for each patch.

        Returns:
            uint16 DN (N, C, H, W): 1 to the store's `dn_max` inside the edit masks, the background outside.
        """
        ...


class ScreenedPatch(NamedTuple):
    """What became of a patch.

    Attributes:
        label: its label mask, of which screening may have left out pixels, bool (H, W).
        edit: what could be painted, bool (H, W).
        before: DN of the background (C, H, W).
        after: DN of the painted patch (C, H, W).
        bands: names of the bands.
        sun_elevation: degrees; missing (nan) where unknown.
    """

    label: npt.NDArray[np.bool_]
    edit: npt.NDArray[np.bool_]
    before: npt.NDArray[np.uint16]
    after: npt.NDArray[np.uint16]
    bands: tuple[str, ...]
    sun_elevation: float


@dataclass(frozen=True)
class Run:
    """How a fitting reports progress and runs trainers.

    Attributes:
        progress: called with words on how far the work is.
        launch: how a trainer with processes of its own is run; by default as a child process.
    """

    progress: Progress
    launch: Launch | None = None


class Engine(Part):
    """An engine's settings, as the `generator` of a config holds them, and what the lineage asks of the engine.

    A subclass declares ``engine: Literal["NAME"]`` and its settings, is found by an entry point of the `group`, and
    overrides what it does otherwise.
    """

    group: ClassVar[str] = "firefusion.engines"
    named_by: ClassVar[str] = "engine"

    paints: ClassVar[bool] = True
    """Whether it paints."""
    copies: ClassVar[bool] = False
    """Whether it adds copies of real fires: the control to beat, and nothing that a check for copies should warn of."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Settings of `sampling` that mean something to engines that list them only."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that it needs and that a bare installation lacks."""
    requirement: ClassVar[str] = ""
    """What pip installs to bring them, for example ``firefusion-assets[EXTRA]``."""
    pipeline: ClassVar[str] = ""
    """``module.Class`` whose `from_pretrained` loads what `fit` publishes; empty if it publishes no network."""
    trainer: ClassVar[str] = ""
    """``module:function`` that trains by a job file of `prepare`, and takes it and a `Progress`; empty if it has
    none."""

    engine: str
    """Which generator paints."""

    @classmethod
    def broken_files(cls, settings: Mapping[str, Any], folder: Path) -> Iterable[str]:
        """Say which small files of the study can't be used, before the settings are validated.

        Args:
            settings: as the YAML file has them.
            folder: the study folder.

        Returns:
            A line ``generator.KEY: PROBLEM; REMEDY`` each, as do the methods below.
        """
        return ()

    def misfits(self, study: "Study", config: "Augmentation") -> Iterable[str]:
        """Say what doesn't fit the study's data or the config's other sections."""
        return ()

    def fingerprint_part(self, folder: Path, hash_folder: Callable[[Path], str]) -> Any:
        """Return what a fitted model depends on, as JSON: the settings, and what stands for the files they name.

        Args:
            folder: the study folder.
            hash_folder: gives a hash of the contents of a folder's files.
        """
        return self.model_dump(mode="json")

    def expected(self, study: "Study") -> Literal["", "better", "worse"]:
        """Return what a control is known to be against the baseline; nothing for all others."""
        return ""

    def repeats_fire(self) -> bool:
        """Tell whether real fire is shown again where nothing is added; else all patches come equally often."""
        return True

    def real_patches(self, held_back: "PatchPart", table: "pd.DataFrame") -> "Iterable[tuple[str, Patch]]":
        """Return patches that a fold's networks learn from beside its train part; by default none.

        Args:
            held_back: burning patches that `split.train_fire_patches` takes out of the train part, those first that it
                would keep next.
            table: of all patches, by patch_id.

        Raises:
            RequestError: if there are too few.
        """
        return ()

    def taught(self, patch: ScreenedPatch) -> npt.NDArray[np.bool_]:
        """Return the label (H, W) that is learned of a patch if it is accepted."""
        return patch.label

    def reseeded(self, seed: int) -> Self:
        """Return the settings with another seed, where they have one."""
        return self.model_copy(update={"seed": seed}) if "seed" in type(self).model_fields else self

    def resolved(self, folder: Path) -> Self:
        """Return the settings with paths of the study folder's files absolute, as all methods below need them."""
        return self

    def unreachable(self, progress: Progress) -> Iterable[str]:
        """Say what can't be had from elsewhere, such as a model from a hub; asked before anything is made.

        Args:
            progress: called with what is asked for and how long that may take, if it may take seconds.
        """
        return ()

    def problems(self, sampling: "Sampling", fitting: bool) -> Iterable[str]:
        """Say what this machine lacks; asked before anything expensive.

        Args:
            sampling: how the config paints.
            fitting: whether the engine is about to be fitted; otherwise it is about to paint.
        """
        return ()

    def prepare(self, train: "PatchPart", work: Path) -> Path:
        """Write what `trainer` needs into a folder and return its job file.

        Raises:
            ValueError: if the engine has no trainer with processes of its own.
        """
        raise ValueError(f"engine {self.engine} has no trainer of its own; its model is fitted with the lineage only")

    @abstractmethod
    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Fit on the train part and write the model folder.

        Args:
            train: the patches that may be learned from.
            work: the folder to fill; an earlier attempt's checkpoint in it is resumed from and then removed.
            run: progress and processes.

        Returns:
            Facts about the model, by name.

        Raises:
            NoFireError: if the engine learns from fires and the train part holds none.
        """

    @abstractmethod
    def load(self, folder: Path, sampling: "Sampling", rows: "pd.DataFrame | None" = None) -> Painter:
        """Return the painter of a model folder that `fit` wrote.

        Args:
            folder: the model folder.
            sampling: how to paint.
            rows: of the plan, where there is one: row, background, mask, seed.
        """

    def bit_depths(self, folder: Path, rows: "pd.DataFrame") -> list[int]:
        """Return for each row of the plan how many bits a band of what is painted there has.

        Raises:
            ValueError: if what the model folder holds doesn't fit the plan.
        """
        return [16] * len(rows)

    def sheet_sampling(self) -> Mapping[str, Any] | None:
        """Return the settings of `sampling` that a sheet of the model's paint needs; None: there is nothing to show."""
        return {}

    def shown_bands(self) -> tuple[str, ...]:
        """Return the bands that a plan is handed out in, as red, green and blue."""
        return FALSE_COLOUR
