"""What families of models differ in: what their U-Net is told of prompts, and of what is known around a fire."""

from typing import Any, ClassVar, NamedTuple

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from firefusion_assets.engines.stable_diffusion.encoded_views import Examples
from firefusion_assets.engines.stable_diffusion.enlarging import enlarge
from firefusion_assets.engines.stable_diffusion.latents import encoded
from firefusion_assets.study.augmentation import Sampling

Text = tuple[Tensor, ...]
"""What stands for prompts, a row each: token ids or embeddings of tokens, then what else the family has."""


class Ground(NamedTuple):
    """What is painted on, at the model's resolution.

    Attributes:
        original: float (N, 3, R, R), in -1..1.
        filled: as large; what is hidden is as the nearest known.
        hidden: bool (N, 1, R, R).
        shares: float (N, 1, r, r), hidden share of each latent cell.
    """

    original: Tensor
    filled: Tensor
    hidden: Tensor
    shares: Tensor


class Family:
    """Stable Diffusion 1 and 2 for inpainting: an embedding of each token; mask and known latents are channels.

    Args:
        pipeline: of the family.
    """

    text_arguments: ClassVar[tuple[str, ...]] = ("prompt_embeds",)
    """Names that the pipeline's call has for the parts of a `Text`."""

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self._pipeline = pipeline

    def encoded(self, prompt: str) -> Text:
        """Return the embeddings of a prompt, in the number format of the text encoder, on the U-Net's device."""
        embeddings: Tensor = self._pipeline.encode_prompt(prompt, self._pipeline.unet.device, 1, False)[0]
        return (embeddings,)

    def unet_arguments(self, noisy: Tensor, timesteps: Tensor, examples: Examples, text: Text) -> dict[str, Any]:
        """Return what the U-Net takes in training.

        Args:
            noisy: latents (N, 4, r, r).
            timesteps: int64 (N,).
            examples: what is known.
            text: one row an example, of embeddings.
        """
        inputs = torch.cat([noisy, examples.mask, examples.known], dim=1)
        return {"sample": inputs, "timestep": timesteps, "encoder_hidden_states": text[0]}

    def images(self, ground: Ground, sampling: Sampling) -> dict[str, Tensor]:
        """Return what the pipeline's call takes of images."""
        known = encoded(self._pipeline.vae, ground.filled * ~ground.hidden)
        # Where painting starts from noise alone, only the size of this is looked at.
        start = known if sampling.strength == 1 else self._start(ground, sampling)
        return {"image": start, "masked_image_latents": known, "mask_image": self._cells(ground.shares)}

    def _start(self, ground: Ground, sampling: Sampling) -> Tensor:
        """Return the latents that noise is added to, with a strength below 1."""
        start = encoded(self._pipeline.vae, ground.filled if sampling.masked_content == "fill" else ground.original)
        return start * (ground.shares == 0) if sampling.masked_content == "latent-nothing" else start

    def _cells(self, values: Tensor) -> Tensor:
        """Enlarge values of latent cells: the pipeline reads one pixel of each."""
        cell = self._pipeline.vae_scale_factor
        return values.repeat_interleave(cell, 2).repeat_interleave(cell, 3)


class XL(Family):
    """SDXL for inpainting: both text encoders' embeddings of tokens, the second one's of the prompt, and sizes."""

    text_arguments = "prompt_embeds", "pooled_prompt_embeds"

    def encoded(self, prompt: str) -> Text:
        """Return (1, T, D1 + D2) and (1, P); zeros for an empty prompt, where the model was trained so."""
        pipeline = self._pipeline
        told = pipeline.encode_prompt(prompt, device=pipeline.unet.device, do_classifier_free_guidance=False)
        text = told[0], told[2]
        empty = prompt == "" and pipeline.config.force_zeros_for_empty_prompt
        return tuple(map(torch.zeros_like, text)) if empty else text

    def unet_arguments(self, noisy: Tensor, timesteps: Tensor, examples: Examples, text: Text) -> dict[str, Any]:
        """Return what the U-Net takes in training, with the sizes that the pipeline's call takes by default.

        Podell et al. 2023 (arXiv 2307.01952), section 2.2: size of the original image, where it was cut, target size.
        """
        pooled, side = text[1], noisy.shape[-1] * self._pipeline.vae_scale_factor
        sizes = pooled.new_tensor([side, side, 0, 0, side, side]).expand(len(pooled), -1)
        added = {"text_embeds": pooled, "time_ids": sizes}
        return super().unet_arguments(noisy, timesteps, examples, text) | {"added_cond_kwargs": added}


class Controlled(Family):
    """Stable Diffusion 1 and 2 for text to image: a ControlNet sees what is known and adds to the U-Net's features.

    Zhang et al. 2023 (arXiv 2302.05543). What is known is put back into the latents at each step of painting.
    """

    def unet_arguments(self, noisy: Tensor, timesteps: Tensor, examples: Examples, text: Text) -> dict[str, Any]:
        """Return what the U-Net takes in training, with what the ControlNet adds."""
        factor = noisy.shape[-1] * self._pipeline.vae_scale_factor // examples.around.shape[-1]
        known, hidden = enlarge(examples.around[:, :3], factor), examples.around[:, 3:] > 0
        hidden = hidden.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        own: dict[str, Any] = {"sample": noisy, "timestep": timesteps, "encoder_hidden_states": text[0]}
        down, middle = self._pipeline.controlnet(**own, controlnet_cond=_condition(known, hidden), return_dict=False)
        return own | {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def images(self, ground: Ground, sampling: Sampling) -> dict[str, Tensor]:
        """Return what the pipeline's call takes of images.

        Each latent cell that is hidden in part is painted as a whole: a mean with what is known would dim small fires.
        """
        full = sampling.strength == 1
        start = encoded(self._pipeline.vae, ground.filled) if full else self._start(ground, sampling)
        # Of the image the pipeline would draw a latent, in half precision, with the generators of the noise.
        self._pipeline._encode_vae_image = lambda image, generator: start.to(image.dtype)
        return {
            "image": (ground.filled + 1) / 2,
            "control_image": _condition(ground.filled, ground.hidden),
            "mask_image": self._cells((ground.shares > 0).float()),
        }


def family_of(pipeline: DiffusionPipeline) -> Family:
    """Return the family of a pipeline."""
    for part, family in (("text_encoder_2", XL), ("controlnet", Controlled)):
        if hasattr(pipeline, part):
            return family(pipeline)
    return Family(pipeline)


def text_encoders(pipeline: DiffusionPipeline) -> list[nn.Module]:
    """Return the text encoders of a pipeline."""
    return [getattr(pipeline, name) for name in ("text_encoder", "text_encoder_2") if hasattr(pipeline, name)]


def networks(pipeline: DiffusionPipeline) -> list[nn.Module]:
    """Return what may be in half precision: all but the VAE."""
    controlnet = [pipeline.controlnet] if hasattr(pipeline, "controlnet") else []
    return [pipeline.unet, *text_encoders(pipeline), *controlnet]


def without_prompt(text: Text, empty: Text, dropped: Tensor) -> Text:
    """Return the text of each example, the empty one where that is dropped, bool (N,)."""
    return tuple(
        torch.where(dropped.view(-1, *[1] * (part.ndim - 1)), nothing, part)
        for part, nothing in zip(text, empty, strict=True)
    )


def _condition(known: Tensor, hidden: Tensor) -> Tensor:
    """Return what a ControlNet for inpainting sees: 0 to 1 where an image of -1..1 is known, -1 where it is hidden."""
    return torch.where(hidden, -1.0, (known + 1) / 2)
