"""Views as the network learns from them: latents and masks, encoded once, for nothing trainable comes before them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL

from firefusion_assets.core import seeding
from firefusion_assets.engines.stable_diffusion.enlarging import enlarge, latent_mask, without_hidden
from firefusion_assets.engines.stable_diffusion.stretch import Stretch
from firefusion_assets.engines.stable_diffusion.views import View

_ENCODED_AT_ONCE: Final = 8


class Examples(NamedTuple):
    """Encoded views, on the CPU.

    Attributes:
        mean: float (N, 4, r, r), means of the image's latent, scaled.
        std: float (N, 4, r, r), their standard deviations.
        known: float (N, 4, r, r), latent of the image without what is hidden, scaled.
        mask: float (N, 1, r, r), hidden share of each latent cell.
    """

    mean: torch.Tensor
    std: torch.Tensor
    known: torch.Tensor
    mask: torch.Tensor

    def take(self, rows: Sequence[int]) -> "Examples":
        """Return some of the examples."""
        return Examples(*(values[list(rows)] for values in self))


class Enlarged(NamedTuple):
    """A view at the model's resolution.

    Attributes:
        image: float (3, R, R), in -1..1.
        known: as large, 0 where it is hidden.
        hidden: bool (1, R, R).
    """

    image: torch.Tensor
    known: torch.Tensor
    hidden: torch.Tensor


class Noised(NamedTuple):
    """Draws of one step.

    Attributes:
        latents: what is to be learned (N, 4, r, r).
        noise: as large.
        timesteps: int64 (N,).
    """

    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor


@dataclass(frozen=True)
class ViewStream:
    """An endless stream over encoded views, the same wherever one starts to read it.

    Attributes:
        examples: the encoded views.
        seed: of order, noise and timesteps.
        name: of the stream; others draw differently.
    """

    examples: Examples
    seed: int
    name: str

    def batch(self, first: int, n: int, timesteps: int, device: torch.device) -> tuple[Examples, Noised]:
        """Return ``n`` examples from a position on, with noise and timesteps below ``timesteps`` drawn for each."""
        positions = range(first, first + n)
        chosen = self.examples.take([self._row(position) for position in positions])
        draws = [self._draw(position, chosen.mean.shape[1:], timesteps) for position in positions]
        own, noise, steps = (_moved(torch.stack(values), device) for values in zip(*draws, strict=True))
        examples = Examples(*(_moved(values, device).float() for values in chosen))
        return examples, Noised(examples.mean + examples.std * own, noise, steps)

    def _row(self, position: int) -> int:
        return seeding.cycled_index(position, len(self.examples.mean), self.seed, self.name)

    def _draw(
        self, position: int, shape: torch.Size, timesteps: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # On the CPU, a generator for each position: neither device nor batch nor a resumed run changes a draw.
        generator = torch.Generator().manual_seed(seeding.derive_seed(self.seed, self.name, "noise", position))
        own, noise = torch.randn((2, *shape), generator=generator)
        return own, noise, torch.randint(timesteps, (), generator=generator)


def _moved(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    # From pinned memory the copy waits for nothing: the next batch is made while the GPU works on this one.
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


@torch.no_grad()
def encode(images: Iterator[Enlarged], vae: AutoencoderKL, cell: int, dtype: torch.dtype) -> Examples:
    """Encode images, some at a time.

    Args:
        images: views at the model's resolution.
        vae: on its device.
        cell: model pixels a latent cell, along a side.
        dtype: in which the examples are kept.
    """
    encoded: list[Examples] = []
    scale = vae.config.scaling_factor
    while some := list(islice(images, _ENCODED_AT_ONCE)):
        image, known, hidden = (torch.stack(values).to(vae.device) for values in zip(*some, strict=True))
        distribution = vae.encode(image.to(vae.dtype)).latent_dist
        rest = vae.encode(known.to(vae.dtype)).latent_dist.mode()
        kept = distribution.mean * scale, distribution.std * scale, rest * scale, latent_mask(hidden, cell)
        encoded.append(Examples(*(values.to("cpu", dtype) for values in kept)))
    return Examples(*(torch.cat(values) for values in zip(*encoded, strict=True)))


def enlarged(view: View, stretch: Stretch, factor: int) -> Enlarged:
    """Return a view at the model's resolution."""
    window = stretch.to_model(view.dn)
    both = torch.from_numpy(np.stack([window, without_hidden(window, view.mask)]))
    image, known = enlarge(both, factor).clamp(-1, 1)
    hidden = torch.from_numpy(np.kron(view.mask, np.ones((factor, factor), bool)))[None]
    return Enlarged(image, known * ~hidden, hidden)
