"""A Stable Diffusion inpainting pipeline of the real classes with random weights: a few MB, milliseconds a step."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-"


def save_tiny_pipeline(folder: Path, in_channels: int = 9) -> Path:
    """Write a tiny pipeline as `from_pretrained` reads it; 4 input channels make a text-to-image base of it."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        pipeline = StableDiffusionInpaintPipeline(
            vae=AutoencoderKL(
                in_channels=3,
                out_channels=3,
                block_out_channels=(16, 16, 32, 32),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=1,
                norm_num_groups=8,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=2 * len(_CHARACTERS) + 2,
                    hidden_size=32,
                    intermediate_size=64,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    bos_token_id=0,
                    eos_token_id=1,
                    pad_token_id=1,
                )
            ),
            tokenizer=_tokenizer(folder),
            unet=UNet2DConditionModel(
                sample_size=8,
                in_channels=in_channels,
                block_out_channels=(32, 64),
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                layers_per_block=1,
                cross_attention_dim=32,
                attention_head_dim=8,
                norm_num_groups=8,
            ),
            scheduler=DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)
    return folder


def _tokenizer(folder: Path) -> CLIPTokenizer:
    tokens = ["<|startoftext|>", "<|endoftext|>", *_CHARACTERS, *(f"{character}</w>" for character in _CHARACTERS)]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)
    vocabulary.unlink()
    merges.unlink()
    return tokenizer
