"""Painting windows with a Stable Diffusion inpainting pipeline: prompts, sampler, enlarging, and back to 30 m."""

from collections.abc import Sequence
from inspect import signature
from typing import Any, Final

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from diffusers import DiffusionPipeline
from diffusers.image_processor import VaeImageProcessor

from firefusion_assets.core import seeding
from firefusion_assets.core.devices import tensor_float32
from firefusion_assets.engines.stable_diffusion.enlarging import (
    area_mean,
    enlarge,
    latent_mask,
    without_hidden,
)
from firefusion_assets.engines.stable_diffusion.families import Ground, Text, family_of, networks
from firefusion_assets.engines.stable_diffusion.latents import decoded
from firefusion_assets.study.augmentation import Sampling, Scheduler

_SCHEDULERS: Final[dict[Scheduler, tuple[str, dict[str, Any]]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmsolver++-karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
_LATENT_DIFFUSION: Final = {"clip_sample": False, "set_alpha_to_one": False}
"""What the samplers that have these settings must be told: their defaults are for pixels, and cut latents at 1."""

Array = npt.NDArray[np.float32]


class WindowSampler:
    """Paints windows of the model's range.

    Args:
        pipeline: on its device, the VAE in float32; its scheduler is replaced.
        sampling: sampler, steps, guidance (none by default), strength, prompts, batch size.
        factor: model pixels a window pixel, along a side.
        default_prompt: where `sampling.prompts` is empty.
    """

    def __init__(self, pipeline: DiffusionPipeline, sampling: Sampling, factor: int, default_prompt: str) -> None:
        pipeline.scheduler = _scheduler(pipeline.scheduler.config, sampling)
        # A mask keeps its shares between 0 and 1; the usual processor would round them.
        pipeline.mask_processor = VaeImageProcessor(do_normalize=False, do_resize=False)
        self._pipeline, self._sampling, self._factor = pipeline, sampling, factor
        self._guidance = 1.0 if sampling.guidance_scale is None else sampling.guidance_scale
        self._prompts = sampling.prompts or (default_prompt,)
        self._negative_prompts = sampling.negative_prompts or ("",)
        self._family = family_of(pipeline)
        self._encoded: dict[tuple[str, torch.dtype], Text] = {}

    @torch.no_grad()
    def __call__(self, windows: Array, masks: npt.NDArray[np.bool_], seeds: Sequence[int]) -> Array:
        """Paint windows, `batch_size` at a time.

        What half precision can't hold is painted once more in float32.

        Args:
            windows: float32 (N, 3, S, S), values of the model's range -1..1.
            masks: bool (N, S, S), what is painted.
            seeds: of each window's noise and prompts.

        Returns:
            float32 (N, 3, S, S) around -1..1, of use inside the masks; not a number where the model gave none.
        """
        painted = self._batches(windows, masks, np.array(seeds))
        lost, dtype = ~np.isfinite(painted).all(axis=(1, 2, 3)), self._pipeline.unet.dtype
        if lost.any() and dtype != torch.float32:
            for network in networks(self._pipeline):
                network.float()
            painted[lost] = self._batches(windows[lost], masks[lost], np.array(seeds)[lost])
            for network in networks(self._pipeline):
                network.to(dtype)
        return painted

    def _batches(self, windows: Array, masks: npt.NDArray[np.bool_], seeds: npt.NDArray[np.int64]) -> Array:
        size = self._sampling.batch_size
        batches = [slice(start, start + size) for start in range(0, len(windows), size)]
        return np.concatenate([self._batch(windows[batch], masks[batch], seeds[batch]) for batch in batches])

    def _batch(self, windows: Array, masks: npt.NDArray[np.bool_], seeds: npt.NDArray[np.int64]) -> Array:
        n, padding = len(windows), self._sampling.batch_size - len(windows)
        if self._sampling.compile and padding:  # a compiled network is compiled anew for each size of a batch
            windows, masks, seeds = (
                np.concatenate([values, np.repeat(values[-1:], padding, axis=0)]) for values in (windows, masks, seeds)
            )
        pipeline, sampling = self._pipeline, self._sampling
        hidden = torch.from_numpy(masks[:, None]).to(pipeline.device)
        hidden = hidden.repeat_interleave(self._factor, 2).repeat_interleave(self._factor, 3)
        around = np.stack([without_hidden(*window) for window in zip(windows, masks, strict=True)])
        original, filled = (
            enlarge(torch.from_numpy(values).to(pipeline.device), self._factor) for values in (windows, around)
        )
        ground = Ground(original, filled, hidden, latent_mask(hidden, pipeline.vae_scale_factor))
        with tensor_float32(sampling.mixed_precision == "tf32"):
            latents = pipeline(
                **self._texts(seeds),
                **self._family.images(ground, sampling),
                height=original.shape[-2],
                width=original.shape[-1],
                strength=sampling.strength,
                num_inference_steps=sampling.steps,
                guidance_scale=self._guidance,
                # Drawn on the CPU, so that the noise is the same on any device.
                generator=[torch.Generator().manual_seed(seeding.derive_seed(int(seed), "noise")) for seed in seeds],
                output_type="latent",
            ).images
        back: Array = area_mean(decoded(pipeline.vae, latents), self._factor).cpu().numpy()
        return back[:n]

    def _texts(self, seeds: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Return the prompts that the seeds draw, and with guidance the negative ones, for the pipeline's call."""
        kinds = [("", "prompt", self._prompts)]
        if self._guidance > 1:
            kinds.append(("negative_", "negative prompt", self._negative_prompts))
        texts: dict[str, torch.Tensor] = {}
        for prefix, kind, prompts in kinds:
            chosen = [prompts[int(seeding.generator(int(seed), kind).integers(len(prompts)))] for seed in seeds]
            parts = map(torch.cat, zip(*map(self._text, chosen), strict=True))
            texts |= {f"{prefix}{name}": part for name, part in zip(self._family.text_arguments, parts, strict=True)}
        return texts

    def _text(self, prompt: str) -> Text:
        key = prompt, self._pipeline.unet.dtype
        if key not in self._encoded:
            self._encoded[key] = self._family.encoded(prompt)
        return self._encoded[key]


def _scheduler(base: Any, sampling: Sampling) -> Any:
    """Return the sampler, with the noise levels of the base model's."""
    name, settings = _SCHEDULERS[sampling.scheduler]
    kind = getattr(diffusers, name)
    fixed = {key: value for key, value in _LATENT_DIFFUSION.items() if key in signature(kind.__init__).parameters}
    return kind.from_config(base, timestep_spacing=sampling.timestep_spacing, **fixed, **settings)
