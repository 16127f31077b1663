"""Images to the VAE's latents and back, in float32 whatever format the network has: half precision would leave a
quarter of the values that 16 bits of a band have.
"""

import torch
from diffusers import AutoencoderKL


def encoded(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Return the most likely latents (N, 4, R / 8, R / 8) of images (N, 3, R, R) in -1..1, scaled for the network."""
    with torch.autocast(images.device.type, enabled=False):
        latents: torch.Tensor = vae.encode(images).latent_dist.mode() * vae.config.scaling_factor
    return latents


def decoded(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Return float32 images (N, 3, R, R) around -1..1 of the network's latents (N, 4, R / 8, R / 8)."""
    with torch.autocast(latents.device.type, enabled=False):
        images: torch.Tensor = vae.decode(latents.float() / vae.config.scaling_factor).sample
    return images
