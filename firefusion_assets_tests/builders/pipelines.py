"""Inpainting pipelines of diffusers' real classes with random weights: a few MB, milliseconds a step."""

import json
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-"
_POOLED, _SIZE_NUMBERS = 24, 8
"""Width of SDXL's embedding of a whole prompt, and of that of each number on sizes."""


def save_tiny_pipeline(folder: Path, in_channels: int = 9) -> Path:
    """Write a tiny pipeline as `from_pretrained` reads it; 4 input channels make a text-to-image base of it."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        pipeline = StableDiffusionInpaintPipeline(
            vae=tiny_vae(),
            text_encoder=CLIPTextModel(tiny_text_config(32)),
            tokenizer=tiny_tokenizer(folder),
            unet=_unet(in_channels, cross_attention_dim=32),
            scheduler=_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)
    return folder


def save_tiny_xl_pipeline(folder: Path, in_channels: int = 9) -> Path:
    """Write a tiny pipeline of SDXL, whose parts differ in width wherever they may."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        pipeline = StableDiffusionXLInpaintPipeline(
            vae=tiny_vae(force_upcast=True, scaling_factor=0.13025),
            text_encoder=CLIPTextModel(tiny_text_config(32)),
            text_encoder_2=CLIPTextModelWithProjection(tiny_text_config(48, projection_dim=_POOLED, hidden_act="gelu")),
            tokenizer=tiny_tokenizer(folder),
            tokenizer_2=tiny_tokenizer(folder),
            unet=_unet(
                in_channels,
                cross_attention_dim=32 + 48,
                addition_embed_type="text_time",
                addition_time_embed_dim=_SIZE_NUMBERS,
                projection_class_embeddings_input_dim=_POOLED + 6 * _SIZE_NUMBERS,
                transformer_layers_per_block=[2, 1],
                use_linear_projection=True,
            ),
            scheduler=_scheduler(),
            add_watermarker=False,
        )
    pipeline.save_pretrained(folder)
    return folder


def save_tiny_controlnet(folder: Path, **changes: Any) -> Path:
    """Write a ControlNet that fits the U-Net of `save_tiny_pipeline`; it adds something, as a trained one does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        controlnet = ControlNetModel.from_unet(_unet(4, **{"cross_attention_dim": 32} | changes))
        for parameter in controlnet.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    controlnet.save_pretrained(folder)
    return folder


def save_tiny_models(folder: Path, family: str) -> dict[str, str]:
    """Write tiny models below a folder; return the engine's settings that name them."""
    if family == "controlnet":
        base = save_tiny_pipeline(folder / "base", in_channels=4)
        return {"base_model": str(base), "controlnet": str(save_tiny_controlnet(folder / "controlnet"))}
    save = {"sd": save_tiny_pipeline, "sdxl": save_tiny_xl_pipeline}[family]
    return {"base_model": str(save(folder / "base"))}


FAMILIES: Final = ("sd", "sdxl", "controlnet")
"""What `save_tiny_models` knows."""


def tiny_vae(**settings: Any) -> AutoencoderKL:
    """Return a VAE of 3 channels whose latent cells are 8 px."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        **settings,
    )


def tiny_text_config(width: int, **settings: Any) -> CLIPTextConfig:
    """Return the configuration of a text encoder for `tiny_tokenizer`."""
    return CLIPTextConfig(
        vocab_size=2 * len(_CHARACTERS) + 2,
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **settings,
    )


def _unet(in_channels: int, **settings: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=8,
        norm_num_groups=8,
        **settings,
    )


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """Return a tokenizer of characters; uses a folder for a moment."""
    tokens = ["<|startoftext|>", "<|endoftext|>", *_CHARACTERS, *(f"{character}</w>" for character in _CHARACTERS)]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)
    vocabulary.unlink()
    merges.unlink()
    return tokenizer
