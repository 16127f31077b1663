"""Training of engine `native`: one loop that a killed run resumes to the same weights.

What a crop holds is drawn in `crops`; `pipeline` samples the network.
"""

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.lr_scheduler import LambdaLR

from firefusion_assets.core import seeding
from firefusion_assets.core.devices import compute_device
from firefusion_assets.core.prefetch import ahead
from firefusion_assets.core.training_loop import (
    TrainingLoop,
    learning_rate,
    move_average,
    remove_checkpoints,
    write_losses,
)
from firefusion_assets.engines.native.calibration import save_examples
from firefusion_assets.engines.native.contrast import fill_in, fit_contrast
from firefusion_assets.engines.native.crops import Crops, CropStream
from firefusion_assets.engines.native.diffusion_noise import fit_noise
from firefusion_assets.engines.native.pipeline import (
    TRAIN_TIMESTEPS,
    NativeInpaintPipeline,
    network_input,
    new_pipeline,
)
from firefusion_assets.engines.native.scaling import fit_scaling
from firefusion_assets.engines.native.settings import NativeGenerator
from firefusion_assets.patchstore import PatchPart

_WARM_UP: Final = 50
"""Steps over which the learning rate rises."""
_CONTRAST_STEPS: Final = 50
"""Steps whose crops contrast and noise are measured on."""
_AHEAD: Final = 2
"""Steps that are drawn before they are learned from."""
_EMA_DECAY: Final = 0.995
_LABEL_WEIGHT: Final = 4.0
"""A label pixel's weight in the loss; other pixels of the edit mask have 1."""

Array = npt.NDArray[np.float32]


def fit(generator: NativeGenerator, train: PatchPart, work: Path, progress: Callable[[str], None]) -> dict[str, float]:
    """Train the diffusion model and save its pipeline and `history.csv` to the folder ``work``.

    Raises:
        ValueError: if patches are smaller than the crop.
        NoFireError: if the train part holds no fire.
    """
    scaling = fit_scaling(train, generator.seed)
    stream = CropStream(train, scaling, generator.crop, generator.seed)
    streams = [stream]
    if generator.pretrain == "physics":
        streams.insert(0, CropStream(train, scaling, generator.crop, generator.seed, physics=True))

    def seen() -> Iterator[Crops]:
        return (one.batch(step, generator.batch_size) for one in streams for step in range(_CONTRAST_STEPS))

    contrast = fit_contrast(seen())
    noise = fit_noise(seen(), contrast)
    steps = generator.steps * len(streams)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.derive_seed(generator.seed, "weights"))
        pipeline = new_pipeline(train.meta.bands, scaling, contrast, noise, generator.crop, generator.channels)
    unet = pipeline.to(compute_device()).unet.train()
    averaged = copy.deepcopy(unet)
    # A rate of 1, which the schedule multiplies: diffusers' cosine starts only after its warm-up, this one at once.
    optimizer = torch.optim.Adam(unet.parameters(), lr=1.0, fused=True)
    loop = TrainingLoop(
        work,
        generator.model_dump_json(exclude={"checkpoint_every"}),
        steps,
        {"unet": unet, "averaged": averaged, "optimizer": optimizer},
        schedule=LambdaLR(
            optimizer,
            lambda step: learning_rate("cosine", generator.learning_rate, step, steps, _WARM_UP),
        ),
        average=partial(move_average, averaged, unet, _EMA_DECAY),
        remedy="lower generator.learning_rate",
        progress=progress,
    )

    def drawn(step: int) -> Example:
        crops = streams[step // generator.steps].batch(step, generator.batch_size)
        return noisy_example(pipeline, crops, seeding.generator(generator.seed, "noise", step))

    # Another core, where there is one, draws while this one learns.
    with ThreadPoolExecutor(1) as pool, closing(ahead(pool, drawn, range(loop.step, steps), _AHEAD)) as examples:
        for _, example in zip(loop, examples, strict=True):
            loss_of = partial(training_loss, pipeline, example.result())
            loss = loop.parts.backward(optimizer, generator.batch_size, loss_of)
            optimizer.step()
            loop.stepped(loss)
            if loop.due(generator.checkpoint_every):
                loop.save()
                loop.report(loop.mean_loss(since=max(0, loop.step - generator.checkpoint_every)))

    pipeline.register_modules(unet=averaged.eval())
    pipeline.save_pretrained(work)
    save_examples(stream, contrast, scaling, work)
    losses = loop.losses
    write_losses(work / "history.csv", losses)
    remove_checkpoints(work)
    last = losses[-_WARM_UP:]
    return {
        "n_fire_patches": len(stream.fire_ids),
        "parameters": sum(parameter.numel() for parameter in unet.parameters()),
        "loss_final": sum(last) / len(last),
        **loop.parts.facts,
    }


class Example(NamedTuple):
    """What the network learns from in a step: float32 (N, ..., S, S) each, but for the noise levels, int64 (N,)."""

    target: Array
    ground: Array
    label: Array
    edit: Array
    valid: Array
    noise: Array
    timesteps: npt.NDArray[np.int64]


def noisy_example(pipeline: NativeInpaintPipeline, crops: Crops, rng: np.random.Generator) -> Example:
    """Return crops as the network sees them, with noise and its levels."""
    filled, shape = fill_in(crops), crops.bands.shape
    return Example(
        pipeline.contrast.whiten(crops, filled),
        filled,
        crops.label,
        crops.edit,
        crops.valid,
        pipeline.noise.draw(rng, shape, rng.standard_normal((*shape[:2], 1, 1), np.float32)),
        rng.integers(0, TRAIN_TIMESTEPS, len(filled)),
    )


def training_loss(pipeline: NativeInpaintPipeline, example: Example, part: slice = slice(None)) -> torch.Tensor:
    """Return the weighted mean squared error of v inside the edit masks, or what some of the crops add to it."""
    device = pipeline.unet.device
    weight = torch.from_numpy(example.valid * example.edit * (1 + (_LABEL_WEIGHT - 1) * example.label)).to(device)
    target, ground, label, edit, _, noise, timesteps = (torch.from_numpy(array[part]).to(device) for array in example)
    noisy = pipeline.scheduler.add_noise(target, noise, timesteps)
    velocity = pipeline.scheduler.get_velocity(target, noise, timesteps)
    predicted = pipeline.unet(network_input(noisy, ground, label, edit), timesteps).sample
    error = (predicted - velocity).square().mean(dim=1, keepdim=True)
    return (error * weight[part]).sum() / weight.sum().clamp(min=1)
