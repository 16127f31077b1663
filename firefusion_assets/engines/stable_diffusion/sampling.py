"""Painting windows with a Stable Diffusion inpainting pipeline: prompts, sampler, enlarging, and back to 30 m."""

from collections.abc import Sequence
from typing import Any, Final

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from diffusers import StableDiffusionInpaintPipeline
from diffusers.image_processor import VaeImageProcessor

from firefusion_assets.core import seeding
from firefusion_assets.engines.stable_diffusion.enlarging import (
    area_mean,
    enlarge,
    latent_mask,
    without_hidden,
)
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

Array = npt.NDArray[np.float32]


class WindowSampler:
    """Paints windows of the model's range.

    Args:
        pipeline: on its device; its scheduler is replaced.
        sampling: sampler, steps, guidance, strength, prompts, batch size.
        factor: model pixels a window pixel, along a side.
        default_prompt: where `sampling.prompts` is empty.
    """

    def __init__(
        self, pipeline: StableDiffusionInpaintPipeline, sampling: Sampling, factor: int, default_prompt: str
    ) -> None:
        name, settings = _SCHEDULERS[sampling.scheduler]
        pipeline.scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config, **settings)
        # A mask keeps its shares between 0 and 1; the usual processor would round them.
        pipeline.mask_processor = VaeImageProcessor(do_normalize=False, do_resize=False)
        self._pipeline, self._sampling, self._factor = pipeline, sampling, factor
        self._prompts = sampling.prompts or (default_prompt,)
        self._negative_prompts = sampling.negative_prompts or ("",)
        self._embeddings: dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor | None]] = {}

    @torch.no_grad()
    def __call__(self, windows: Array, masks: npt.NDArray[np.bool_], seeds: Sequence[int]) -> Array:
        """Paint windows, `batch_size` at a time.

        Args:
            windows: float32 (N, 3, S, S), values of the model's range -1..1.
            masks: bool (N, S, S), what is painted.
            seeds: of each window's noise and prompts.

        Returns:
            float32 (N, 3, S, S) in -1..1, of use inside the masks.
        """
        size = self._sampling.batch_size
        batches = [
            self._batch(windows[start : start + size], masks[start : start + size], seeds[start : start + size])
            for start in range(0, len(windows), size)
        ]
        return np.concatenate(batches)

    def _batch(self, windows: Array, masks: npt.NDArray[np.bool_], seeds: Sequence[int]) -> Array:
        pipeline = self._pipeline
        device, dtype, cell = pipeline.device, pipeline.vae.dtype, pipeline.vae_scale_factor
        image = enlarge(torch.from_numpy(windows).to(device), self._factor).clamp(-1, 1)
        hidden = torch.from_numpy(masks[:, None]).to(device).repeat_interleave(self._factor, 2)
        hidden = hidden.repeat_interleave(self._factor, 3)
        around = np.stack([without_hidden(*window) for window in zip(windows, masks, strict=True)])
        known = enlarge(torch.from_numpy(around).to(device), self._factor).clamp(-1, 1) * ~hidden
        known = pipeline.vae.encode(known.to(dtype)).latent_dist.mode() * pipeline.vae.config.scaling_factor
        # The pipeline reads one pixel of each latent cell; in a mask of whole cells that is the cell's share.
        mask = latent_mask(hidden, cell).repeat_interleave(cell, 2).repeat_interleave(cell, 3)
        positive, negative = (
            torch.cat(embeddings) if embeddings[0] is not None else None
            for embeddings in zip(*(self._embedding(seed) for seed in seeds), strict=True)
        )
        painted = pipeline(
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            image=(image + 1) / 2,
            mask_image=mask,
            masked_image_latents=known,
            height=image.shape[-2],
            width=image.shape[-1],
            strength=self._sampling.strength,
            num_inference_steps=self._sampling.steps,
            guidance_scale=self._sampling.guidance_scale,
            # Drawn on the CPU, so that the noise is the same on any device.
            generator=[torch.Generator().manual_seed(seeding.derive_seed(seed, "noise")) for seed in seeds],
            output_type="pt",
        ).images
        back: Array = area_mean(painted.float() * 2 - 1, self._factor).cpu().numpy()
        return back

    def _embedding(self, seed: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the embeddings (1, T, D) of the prompt and the negative prompt that a seed draws."""
        prompt, negative = (
            texts[int(seeding.generator(seed, kind).integers(len(texts)))]
            for kind, texts in (("prompt", self._prompts), ("negative prompt", self._negative_prompts))
        )
        if (prompt, negative) not in self._embeddings:
            self._embeddings[prompt, negative] = self._pipeline.encode_prompt(
                prompt,
                self._pipeline.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=self._sampling.guidance_scale > 1,
                negative_prompt=negative,
            )
        return self._embeddings[prompt, negative]
