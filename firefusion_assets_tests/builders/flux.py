"""A FLUX Fill pipeline of diffusers' real classes with random weights."""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline, FluxTransformer2DModel
from transformers import CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

from firefusion_assets_tests.builders.pipelines import tiny_text_config, tiny_tokenizer, tiny_vae

_CHANNELS = 4
"""Of its VAE's latents."""


def save_tiny_flux_fill(folder: Path) -> Path:
    """Write a tiny pipeline as `from_pretrained` reads it."""
    folder.mkdir(parents=True)
    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz,-8"]
    packed = 4 * _CHANNELS  # a token is 2 x 2 latent cells
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        pipeline = FluxFillPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
            vae=tiny_vae(latent_channels=_CHANNELS, shift_factor=0.1159, scaling_factor=0.3611),
            text_encoder=CLIPTextModel(tiny_text_config(32)),
            tokenizer=tiny_tokenizer(folder),
            text_encoder_2=T5EncoderModel(
                T5Config(vocab_size=len(pieces), d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
            ),
            tokenizer_2=T5Tokenizer([(piece, -1.0) for piece in pieces], extra_ids=0),
            transformer=FluxTransformer2DModel(
                patch_size=1,
                in_channels=2 * packed + 4 * 64,
                out_channels=packed,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=24,
                pooled_projection_dim=32,
                guidance_embeds=True,
                axes_dims_rope=(4, 4, 8),
            ),
        )
    pipeline.save_pretrained(folder)
    return folder
