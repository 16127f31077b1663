"""What a U-Net is told beside latents, by the family of the model: prompts, and with SDXL the sizes of images too."""

from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

Text = tuple[Tensor, ...]
"""What stands for prompts, a row each: token ids or embeddings of tokens, then what else the family has."""


class Conditioning:
    """Stable Diffusion 1 and 2: embeddings of tokens (N, T, D)."""

    arguments: ClassVar[tuple[str, ...]] = ("prompt_embeds",)
    """Names that the pipeline's call has for the parts of a `Text`."""

    def encoded(self, pipeline: DiffusionPipeline, prompt: str) -> Text:
        """Return the embeddings of a prompt, in the number format of the text encoder, on the U-Net's device."""
        embeddings: Tensor = pipeline.encode_prompt(prompt, pipeline.unet.device, 1, False)[0]
        return (embeddings,)

    def added(self, text: Text, resolution: int) -> dict[str, Tensor] | None:
        """Return `added_cond_kwargs` of the U-Net, for images of a height and width."""
        return None


class XLConditioning(Conditioning):
    """SDXL: embeddings of both text encoders (N, T, D1 + D2), and that of the whole prompt (N, P) by the second one."""

    arguments = "prompt_embeds", "pooled_prompt_embeds"

    def encoded(self, pipeline: DiffusionPipeline, prompt: str) -> Text:
        """Return both embeddings; zeros for an empty prompt, where the model was trained so."""
        device = pipeline.unet.device
        encoded = pipeline.encode_prompt(prompt, device=device, do_classifier_free_guidance=False)
        text = encoded[0], encoded[2]
        empty = prompt == "" and pipeline.config.force_zeros_for_empty_prompt
        return tuple(map(torch.zeros_like, text)) if empty else text

    def added(self, text: Text, resolution: int) -> dict[str, Tensor]:
        """Return the prompt's embedding, and the sizes that the pipeline's call takes by default.

        Podell et al. 2023 (arXiv 2307.01952), section 2.2: size of the original image, where it was cut, target size.
        """
        pooled = text[1]
        sizes = pooled.new_tensor([resolution, resolution, 0, 0, resolution, resolution])
        return {"text_embeds": pooled, "time_ids": sizes.expand(len(pooled), -1)}


def conditioning_of(pipeline: DiffusionPipeline) -> Conditioning:
    """Return what the family of a pipeline asks for."""
    return XLConditioning() if hasattr(pipeline, "text_encoder_2") else Conditioning()


def text_encoders(pipeline: DiffusionPipeline) -> list[nn.Module]:
    """Return the text encoders of a pipeline."""
    return [getattr(pipeline, name) for name in ("text_encoder", "text_encoder_2") if hasattr(pipeline, name)]


def networks(pipeline: DiffusionPipeline) -> list[nn.Module]:
    """Return what may be in half precision: all but the VAE."""
    return [pipeline.unet, *text_encoders(pipeline)]


def joined(texts: list[Text], conditioning: Conditioning, prefix: str = "") -> dict[str, Any]:
    """Return the texts of a batch as arguments of the pipeline's call."""
    parts = map(torch.cat, zip(*texts, strict=True))
    return {f"{prefix}{name}": part for name, part in zip(conditioning.arguments, parts, strict=True)}


def without_prompt(text: Text, empty: Text, dropped: Tensor) -> Text:
    """Return the text of each example, the empty one where that is dropped, bool (N,)."""
    return tuple(
        torch.where(dropped.view(-1, *[1] * (part.ndim - 1)), nothing, part)
        for part, nothing in zip(text, empty, strict=True)
    )
