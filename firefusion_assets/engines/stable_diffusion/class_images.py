"""Prior preservation (Ruiz et al. 2023, arXiv 2208.12242): what the pretrained model paints for the class."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from diffusers import DiffusionPipeline

from firefusion_assets.core import seeding
from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.devices import free_cached_memory
from firefusion_assets.core.memory import Parts
from firefusion_assets.engines.stable_diffusion.method_settings import PriorPreservation
from firefusion_assets.engines.stable_diffusion.sampling import WindowSampler
from firefusion_assets.engines.stable_diffusion.settings import PRETRAINED_GUIDANCE
from firefusion_assets.engines.stable_diffusion.stretch import Stretch
from firefusion_assets.engines.stable_diffusion.views import GroundViews, View
from firefusion_assets.study.augmentation import Sampling

FOLDER: Final = "class-images"
_STEPS: Final = 50
_BATCH: Final = 4


def make_class_images(
    pipeline: DiffusionPipeline,
    views: GroundViews,
    prior: PriorPreservation,
    stretch: Stretch,
    factor: int,
    seed: int,
    work: Path,
    progress: Callable[[str], None],
) -> None:
    """Paint the class images that are missing below ``work``; an interrupted run keeps those it made.

    Args:
        pipeline: the pretrained model, on its device.
        views: ground with random masks.
        prior: prompt and number.
        stretch: DN to the model's range.
        factor: model pixels a window pixel, along a side.
        seed: of the noise.
        work: the trainer's folder.
        progress: called after every batch.
    """
    (work / FOLDER).mkdir(exist_ok=True)
    settings = Sampling(
        prompts=(prior.class_prompt,), steps=_STEPS, batch_size=_BATCH, guidance_scale=PRETRAINED_GUIDANCE
    )
    scheduler = pipeline.scheduler
    sampler = WindowSampler(pipeline, settings, factor, prior.class_prompt)
    parts = Parts("lower generator.resolution", progress)
    for first in range(0, len(views), _BATCH):
        numbers = range(first, min(first + _BATCH, len(views)))
        if all(_file(work, number).is_file() for number in numbers):
            continue
        chosen = [views[number] for number in numbers]
        windows = stretch.to_model(np.stack([view.dn for view in chosen]))
        masks = np.stack([view.mask for view in chosen])
        seeds = [seeding.derive_seed(seed, "class image", number) for number in numbers]
        painted = parts.joined(sampler, windows, masks, seeds)
        composed = np.where(masks[:, None], np.rint(stretch.to_dn(painted)), np.stack([view.dn for view in chosen]))
        for number, dn in zip(numbers, composed.astype(np.uint16), strict=True):
            write_atomically(_file(work, number), partial(_save, dn=dn))
        progress(f"{numbers.stop} of {len(views)} class images")
    pipeline.scheduler = scheduler
    free_cached_memory()


def read_class_images(views: GroundViews, work: Path) -> Iterator[View]:
    """Yield the views with the class images in place of the ground."""
    for number in range(len(views)):
        yield View(np.load(_file(work, number)), views[number].mask)


def _file(work: Path, number: int) -> Path:
    return work / FOLDER / f"{number:05d}.npy"


def _save(path: Path, dn: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, dn)
