"""Stable Diffusion 1.5 inpainting at its real size with random weights, and the tiny pipeline for machines without GPU.

The settings are those of the published checkpoint's config files; speed and memory don't depend on the weights.
"""

from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from firefusion_assets.engines.stable_diffusion.base_model import load_base
from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline

_UNET: Final = {
    "sample_size": 64,
    "in_channels": 9,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
_VAE: Final = {
    "sample_size": 512,
    "latent_channels": 4,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
_TEXT_ENCODER: Final = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    # Of the tiny vocabulary.
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def real_networks() -> dict[str, nn.Module]:
    """Return the three networks by their names in a pipeline, float32."""
    return {
        "unet": UNet2DConditionModel(**_UNET),
        "vae": AutoencoderKL(**_VAE),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**_TEXT_ENCODER)),
    }


def save_pipeline(folder: Path) -> Path:
    """Write the real pipeline on a machine with a GPU, else the tiny one, and return its folder.

    Scheduler and tokenizer are the tiny one's: the scheduler is that of SD 1.5, and the vocabulary costs nothing.
    """
    tiny = save_tiny_pipeline(folder / "tiny")
    if not torch.cuda.is_available():
        return tiny
    pipeline = load_base(tiny, None)
    pipeline.register_modules(**real_networks())
    pipeline.save_pretrained(folder / "real")
    return folder / "real"
