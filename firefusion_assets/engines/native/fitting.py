"""Training of engine `native`: one loop that a killed run resumes to the same weights.

What a crop holds is drawn in `crops`; `pipeline` samples the network.
"""

import copy
import csv
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch

from firefusion_assets.core import seeding
from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.devices import compute_device
from firefusion_assets.engines.native.contrast import fill_in, fit_contrast
from firefusion_assets.engines.native.crops import Crops, CropStream
from firefusion_assets.engines.native.diffusion_noise import draw_noise
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
"""Steps whose crops the contrast is measured on."""
_EMA_DECAY: Final = 0.995
_LABEL_WEIGHT: Final = 4.0
"""A label pixel's weight in the loss; other pixels of the edit mask have 1."""
_CHECKPOINT: Final = "checkpoint.pt"


def fit(generator: NativeGenerator, train: PatchPart, work: Path, progress: Callable[[str], None]) -> dict[str, float]:
    """Train the diffusion model and save its pipeline and `history.csv` to the folder ``work``.

    Raises:
        ValueError: if patches are smaller than the crop.
        NoFireError: if the train part holds no fire.
    """
    scaling = fit_scaling(train, generator.seed)
    stream = CropStream(train, scaling, generator.crop, generator.seed)
    contrast = fit_contrast(stream.batch(step, generator.batch_size) for step in range(_CONTRAST_STEPS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.derive_seed(generator.seed, "weights"))
        pipeline = new_pipeline(train.meta.bands, scaling, contrast, generator.crop, generator.channels)
    unet = pipeline.to(compute_device()).unet.train()
    averaged = copy.deepcopy(unet)
    optimizer = torch.optim.Adam(unet.parameters(), lr=generator.learning_rate)
    losses: list[float] = []
    checkpoint = work / _CHECKPOINT
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=compute_device(), weights_only=True)
        unet.load_state_dict(state["unet"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        losses = state["losses"]
        progress(f"resumed at step {len(losses)} of {generator.steps}")

    for step in range(len(losses), generator.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(generator, step)
        loss = training_loss(pipeline, stream.batch(step, generator.batch_size), generator.seed, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_average(averaged, unet, step)
        losses.append(loss.item())
        if (step + 1) % generator.checkpoint_every == 0:
            state = {"unet": unet.state_dict(), "averaged": averaged.state_dict(), "losses": losses}
            state |= {"optimizer": optimizer.state_dict()}
            write_atomically(checkpoint, partial(torch.save, state))
            recent = losses[-generator.checkpoint_every :]
            progress(f"step {step + 1} of {generator.steps}, loss {sum(recent) / len(recent):.4f}")

    pipeline.register_modules(unet=averaged.eval())
    pipeline.save_pretrained(work)
    with (work / "history.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("step", "loss"), *enumerate(losses, start=1)])
    for left in work.glob(f"{_CHECKPOINT}*"):
        left.unlink()
    last = losses[-_WARM_UP:]
    return {
        "n_fire_patches": len(stream.fire_ids),
        "parameters": sum(parameter.numel() for parameter in unet.parameters()),
        "loss_final": sum(last) / len(last),
    }


def training_loss(pipeline: NativeInpaintPipeline, crops: Crops, seed: int, step: int) -> torch.Tensor:
    """Return the weighted mean squared error of v inside the edit masks, for noise drawn for this step."""
    rng = seeding.generator(seed, "noise", step)
    filled = fill_in(crops)
    target, ground, label, edit, valid, noise, timesteps = (
        torch.from_numpy(array).to(pipeline.unet.device)
        for array in (
            pipeline.contrast.whiten(crops.bands, filled, crops.label),
            filled,
            crops.label,
            crops.edit,
            crops.valid,
            draw_noise(rng, crops.bands.shape),
            rng.integers(0, TRAIN_TIMESTEPS, len(filled)),
        )
    )
    noisy = pipeline.scheduler.add_noise(target, noise, timesteps)
    velocity = pipeline.scheduler.get_velocity(target, noise, timesteps)
    predicted = pipeline.unet(network_input(noisy, ground, label, edit), timesteps).sample
    weight = valid * edit * (1 + (_LABEL_WEIGHT - 1) * label)
    error = (predicted - velocity).square().mean(dim=1, keepdim=True)
    return (error * weight).sum() / weight.sum().clamp(min=1)


def learning_rate(generator: NativeGenerator, step: int) -> float:
    """Return the learning rate of a step: a short rise, then a cosine down to 0 at the end."""
    rise = min(1, (step + 1) / _WARM_UP)
    return generator.learning_rate * rise * math.cos(math.pi / 2 * step / generator.steps) ** 2


@torch.no_grad()
def update_average(averaged: torch.nn.Module, current: torch.nn.Module, step: int) -> None:
    """Move the averaged weights towards the current ones; early steps, which start from noise, count less."""
    decay = min(_EMA_DECAY, (1 + step) / (10 + step))
    for average, parameter in zip(averaged.parameters(), current.parameters(), strict=True):
        average.lerp_(parameter, 1 - decay)
