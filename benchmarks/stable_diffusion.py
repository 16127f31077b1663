"""Speed of fine-tuning and painting: SD 1.5 at real size on a GPU; without one the same code on a tiny pipeline."""

import gc
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch.nn.functional import interpolate

from benchmarks.sd15 import save_pipeline
from firefusion_assets.core.devices import compute_device
from firefusion_assets.engines.stable_diffusion.base_model import DTYPES, load_base
from firefusion_assets.engines.stable_diffusion.encoded_views import enlarged
from firefusion_assets.engines.stable_diffusion.job import FinetuningJob
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.settings import PRETRAINED_GUIDANCE, StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.trainer import finetune
from firefusion_assets.engines.stable_diffusion.views import FireViews
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Painter
from firefusion_assets_tests.builders.parts import make_part

_GPU: Final = torch.cuda.is_available()
_SIZE, _RESOLUTION = (64, 256) if _GPU else (32, 64)
_IMAGES: Final = 32 if _GPU else 4
_PLAIN_IMAGES: Final = 4
_SMALL_BATCH: Final = 2
_WARM_UP: Final = 3
# Our trainer tells how far it is after 25 steps and at the end: the steps between are timed.
_REPORTED, _STEPS = 25, 35
_REPORT: Final = re.compile(r"step (\d+) of ")


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield optimizer steps and painted images a second, and on a GPU the peak memory of training in GiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, part = save_pipeline(folder), make_part(folder / "patches", _SIZE)
        for checkpointing in (False, True):
            yield from _finetuning(base, part, checkpointing, folder / "work")
        yield from _painting(base, part, folder)


def run_trainer(generator: StableDiffusionGenerator, part: PatchPart, work: Path) -> tuple[float, float]:
    """Fine-tune in this process.

    Returns:
        Steps a second after the first report (nan without a second one), and the run's peak memory, see `peak_gib`.
    """
    work.mkdir()
    Pixels.fit(generator, part).write(work)
    reports: list[tuple[int, float]] = []

    def progress(line: str) -> None:
        if told := _REPORT.match(line):
            reports.append((int(told[1]), time.perf_counter()))

    forget_peak()
    finetune(FinetuningJob(generator=generator, base=part.store, train_ids=tuple(part.ids), work=work), progress)
    peak = peak_gib()
    shutil.rmtree(work)
    (first, began), (last, ended) = reports[0], reports[-1]
    return (last - first) / (ended - began) if last > first else float("nan"), peak


def forget_peak() -> None:
    """Free what nobody holds, and measure the peak from here on."""
    gc.collect()
    if _GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float:
    """Return the most GPU memory that tensors took at once since `forget_peak`, GiB; 0 without a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if _GPU else 0.0


class PlainLoop:
    """What fine-tuning scripts do: image, masked image and prompt are encoded anew at each step.

    It has it easy otherwise: its images lie on the device, enlarged, and its noise is drawn there.

    Args:
        generator: number format, learning rate, clipping and prompt.
        part: the patches.
        pixels: their stretch.
    """

    def __init__(self, generator: StableDiffusionGenerator, part: PatchPart, pixels: Pixels) -> None:
        self._generator, self._device = generator, compute_device()
        self._dtype = DTYPES[generator.mixed_precision]
        self._pipeline = load_base(generator.base_model, None).to(self._device)
        self._pipeline.vae.disable_slicing()
        for frozen in (self._pipeline.vae, self._pipeline.text_encoder):
            frozen.to(self._dtype).requires_grad_(False)
        self._unet = self._pipeline.unet.train()
        if generator.gradient_checkpointing:
            self._unet.enable_gradient_checkpointing()
        self._optimizer = torch.optim.AdamW(self._unet.parameters(), lr=generator.learning_rate)
        views = FireViews(part, generator)
        large = [enlarged(views[number], pixels.stretch, _RESOLUTION // _SIZE) for number in range(len(views))]
        self._images = torch.stack([view.image for view in large]).to(self._device)
        self._hidden = torch.stack([view.hidden for view in large]).to(self._device)

    def step(self, batch: int) -> float:
        """Do one optimizer step and return its loss."""
        pipeline, device, dtype = self._pipeline, self._device, self._dtype
        self._optimizer.zero_grad()
        chosen = torch.randint(len(self._images), (batch,), device=device)
        image, hidden = self._images[chosen], self._hidden[chosen]
        with torch.no_grad():
            scale = pipeline.vae.config.scaling_factor
            latents = pipeline.vae.encode(image.to(dtype)).latent_dist.sample() * scale
            known = pipeline.vae.encode((image * ~hidden).to(dtype)).latent_dist.sample() * scale
            tokens = pipeline.tokenizer(
                [self._generator.instance_prompt] * batch, padding="max_length", truncation=True, return_tensors="pt"
            )
            text = pipeline.text_encoder(tokens.input_ids.to(device)).last_hidden_state
        mask = interpolate(hidden.to(dtype), scale_factor=1 / pipeline.vae_scale_factor)
        noise = torch.randn_like(latents)
        timesteps = torch.randint(pipeline.scheduler.config.num_train_timesteps, (batch,), device=device)
        noisy = pipeline.scheduler.add_noise(latents, noise, timesteps)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            predicted = self._unet(torch.cat([noisy, mask, known], dim=1), timesteps, text).sample
        loss = (predicted.float() - noise.float()).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._unet.parameters(), self._generator.max_grad_norm)
        self._optimizer.step()
        return loss.item()

    def largest_batch(self) -> int:
        """Return the largest power of two that fits the GPU, or the small batch without a GPU."""
        batch = _SMALL_BATCH
        while _GPU and self._fits(2 * batch):
            batch *= 2
        return batch

    def speed(self, batch: int) -> tuple[float, float]:
        """Return steps a second and the peak memory in GiB."""
        forget_peak()
        for _ in range(_WARM_UP):
            self.step(batch)
        n, start = _STEPS - _REPORTED, time.perf_counter()
        for _ in range(n):
            self.step(batch)
        return n / (time.perf_counter() - start), peak_gib()

    def _fits(self, batch: int) -> bool:
        forget_peak()
        try:
            for _ in range(2):  # only from the second step on the optimizer's state is there all the time
                self.step(batch)
        except torch.OutOfMemoryError:
            return False
        return True


def _finetuning(base: Path, part: PatchPart, checkpointing: bool, work: Path) -> Iterator[tuple[str, float, float]]:
    generator = _generator(
        base,
        method="dreambooth",
        gradient_checkpointing=checkpointing,
        mixed_precision="bf16" if _GPU else "no",
        max_train_steps=_STEPS,
    )
    loop = PlainLoop(generator, part, Pixels.fit(generator, part))
    plain = {batch: loop.speed(batch) for batch in sorted({_SMALL_BATCH, loop.largest_batch()})}
    del loop
    for batch, (plain_speed, plain_peak) in plain.items():
        speed, peak = run_trainer(generator.model_copy(update={"train_batch_size": batch}), part, work)
        settings = f"batch {batch}{', checkpointing' if checkpointing else ''}"
        yield f"fine-tuning steps/s, {settings} (plain loop)", speed, plain_speed
        if _GPU:
            yield f"fine-tuning peak GiB, {settings} (plain loop)", peak, plain_peak


def _painting(base: Path, part: PatchPart, folder: Path) -> Iterator[tuple[str, float, float]]:
    precision = "fp16" if _GPU else "no"
    generator = _generator(base, method="none")
    Pixels.fit(generator, part).write(folder)
    ddim, dpmsolver = (
        _painted_a_second(
            generator.load(
                folder, Sampling(scheduler=scheduler, steps=steps, batch_size=_IMAGES, mixed_precision=precision)
            ),
            part,
        )
        for scheduler, steps in (("ddim", 50), ("dpmsolver++", 20))
    )
    plain = _plain_painted_a_second(generator, DTYPES[precision])
    yield f"painted images/s at {_RESOLUTION} px, 50 DDIM steps (one a call)", ddim, plain
    yield f"painted images/s at {_RESOLUTION} px, 20 dpmsolver++ (50 DDIM)", dpmsolver, ddim


def _painted_a_second(painter: Painter, part: PatchPart) -> float:
    backgrounds = np.repeat(part.read(part.ids[0]).bands[None], _IMAGES, axis=0)
    labels, edits = np.zeros((2, _IMAGES, _SIZE, _SIZE), bool)
    labels[:, 14:18, 14:18] = edits[:, 12:20, 12:20] = True
    for _ in range(2):  # the first time warms up
        start = time.perf_counter()
        painter.paint(backgrounds, labels, edits, np.arange(_IMAGES))
    return _IMAGES / (time.perf_counter() - start)


def _plain_painted_a_second(generator: StableDiffusionGenerator, dtype: torch.dtype) -> float:
    pipeline = load_base(generator.base_model, None).to(compute_device(), dtype)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    image, mask = torch.rand(1, 3, _RESOLUTION, _RESOLUTION), torch.zeros(1, 1, _RESOLUTION, _RESOLUTION)
    mask[..., 16:32, 16:32] = 1
    for number in range(1 + _PLAIN_IMAGES):
        if number == 1:  # the image before warms up
            start = time.perf_counter()
        pipeline(
            prompt=generator.instance_prompt,
            image=image,
            mask_image=mask,
            height=_RESOLUTION,
            width=_RESOLUTION,
            num_inference_steps=50,
            guidance_scale=PRETRAINED_GUIDANCE,
            output_type="np",
        )
    return _PLAIN_IMAGES / (time.perf_counter() - start)


def _generator(base: Path, **settings: Any) -> StableDiffusionGenerator:
    return StableDiffusionGenerator(
        engine="stable-diffusion", base_model=str(base), crop=_SIZE, resolution=_RESOLUTION, **settings
    )
