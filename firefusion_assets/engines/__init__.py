"""The inpainting engines: what paints a fire into a real patch, behind one contract.

The choice of an engine belongs here. How one learns and paints lies in its own module, which is imported only
when a config names it.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from firefusion_assets.engines.contract import NoFireError, Painter, TrainerError, compose
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.generators import (
    CopyPasteGenerator,
    FilesGenerator,
    Generator,
    NativeGenerator,
    NoGenerator,
    StableDiffusionGenerator,
)

__all__ = ["Launch", "NoFireError", "Painter", "TrainerError", "bit_depths", "compose", "fit", "load"]

Launch = Callable[[Path], None]
"""Runs a trainer that has processes of its own, by its job file; raises if it failed."""


def fit(
    generator: Generator,
    train: PatchPart,
    work: Path,
    progress: Callable[[str], None],
    launch: Launch | None = None,
) -> dict[str, float]:
    """Fit an engine on the train part and write its model folder.

    Args:
        generator: which engine, and its settings; paths are absolute (`generators.resolved`).
        train: the patches that it may learn from.
        work: the folder to fill; an earlier attempt's checkpoint in it is resumed from and then removed.
        progress: told in words how far the work is.
        launch: how a trainer with processes of its own is run; by default as a child process.

    Returns:
        Facts about the model, by name.

    Raises:
        NoFireError: if the engine learns from fires and the train part holds none.
    """
    work.mkdir(parents=True, exist_ok=True)
    match generator:
        case NoGenerator():
            (work / "model.json").write_text(json.dumps({"engine": "none", "n": 0}) + "\n")
            return {"n": 0}
        case CopyPasteGenerator():
            from firefusion_assets.engines.copy_paste import transplant as copy_paste

            return copy_paste.fit(train, work, progress)
        case NativeGenerator():
            from firefusion_assets.engines.native import fitting as training

            return training.fit(generator, train, work, progress)
        case StableDiffusionGenerator():
            from firefusion_assets.engines.stable_diffusion import fitting as finetuning

            return finetuning.fit(generator, train, work, progress, launch)
        case FilesGenerator():
            from firefusion_assets.engines.files import images as files

            return files.fit(generator, train, work, progress)


def load(generator: Generator, folder: Path, sampling: Sampling, rows: pd.DataFrame | None = None) -> Painter:
    """Return the painter of a model folder that `fit` wrote.

    Args:
        generator: which engine, and its settings; paths are absolute (`generators.resolved`).
        folder: the model folder.
        sampling: how to paint.
        rows: of the plan; engine `files` finds its images by them.

    Raises:
        ValueError: for engine `none`, which paints nothing.
    """
    match generator:
        case NoGenerator():
            raise ValueError("engine `none` paints nothing: its plan must be empty, and no painter is loaded for it")
        case CopyPasteGenerator():
            from firefusion_assets.engines.copy_paste.transplant import CopyPastePainter

            return CopyPastePainter(folder)
        case NativeGenerator():
            from firefusion_assets.engines.native.painter import NativePainter

            return NativePainter(folder, sampling.steps)
        case StableDiffusionGenerator():
            from firefusion_assets.engines.stable_diffusion.painter import StableDiffusionPainter

            return StableDiffusionPainter(generator, folder, sampling)
        case FilesGenerator():
            from firefusion_assets.engines.files.images import FilesPainter

            if rows is None:
                raise ValueError("engine `files` needs the plan's rows to find its images by")
            return FilesPainter(folder, rows)


def bit_depths(generator: Generator, folder: Path, rows: pd.DataFrame) -> list[int]:
    """Return for each row of the plan how many bits a band of what is painted there has.

    Args:
        generator: which engine.
        folder: the model folder.
        rows: of the plan.

    Raises:
        ValueError: if images of engine `files` don't fit the plan.
    """
    if isinstance(generator, FilesGenerator):
        from firefusion_assets.engines.files.images import FilesPainter

        return FilesPainter(folder, rows).bit_depths(rows)
    return [16] * len(rows)
