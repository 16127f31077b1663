"""Views as the network learns from them: latents and masks, encoded once, for nothing trainable comes before them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from firefusion_assets.core import seeding
from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.devices import moved
from firefusion_assets.engines.stable_diffusion.enlarging import enlarge, latent_mask, without_hidden
from firefusion_assets.engines.stable_diffusion.stretch import Stretch
from firefusion_assets.engines.stable_diffusion.views import View

FOLDER: Final = "encoded-views"
_ENCODED_AT_ONCE: Final = 8


class Examples(NamedTuple):
    """Encoded views, on the CPU.

    Attributes:
        mean: float (N, 4, r, r), means of the image's latent, scaled.
        std: float (N, 4, r, r), their standard deviations.
        known: float (N, 4, r, r), latent of the image without what is hidden, scaled.
        mask: float (N, 1, r, r), hidden share of each latent cell.
        around: float (N, 4, S, S), the window itself, what is hidden as the nearest known, and 1 where that is.
    """

    mean: torch.Tensor
    std: torch.Tensor
    known: torch.Tensor
    mask: torch.Tensor
    around: torch.Tensor

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**load_file(file))

    def write(self, file: Path, made_from: str) -> None:
        """Write the examples and what they were made from, as text."""
        write_atomically(file, partial(save_file, self._asdict(), metadata={"made from": made_from}))


class Enlarged(NamedTuple):
    """A view at the model's resolution.

    Attributes:
        image: float (3, R, R), in -1..1.
        known: as large, 0 where it is hidden.
        hidden: bool (1, R, R).
        around: float (4, S, S), see `Examples`.
    """

    image: torch.Tensor
    known: torch.Tensor
    hidden: torch.Tensor
    around: torch.Tensor


class Noised(NamedTuple):
    """Draws of one step.

    Attributes:
        latents: what is to be learned (N, 4, r, r).
        noise: as large.
        timesteps: int64 (N,).
        dropping: float (N,) in 0..1; an example loses its prompt where it is less than the dropout.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    dropping: torch.Tensor


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
        size = len(self.examples.mean)
        rows = [seeding.cycled_index(position, size, self.seed, self.name) for position in positions]
        examples = Examples(*(moved(values[rows], device) for values in self.examples))
        draws = [self._draw(position, examples.mean.shape[1:], timesteps) for position in positions]
        own, noise, steps, dropping = (moved(torch.stack(values), device) for values in zip(*draws, strict=True))
        return examples, Noised(examples.mean + examples.std * own, noise, steps, dropping)

    def _draw(self, position: int, shape: torch.Size, timesteps: int) -> tuple[torch.Tensor, ...]:
        # On the CPU, a generator for each position: neither device nor batch nor a resumed run changes a draw.
        generator = torch.Generator().manual_seed(seeding.derive_seed(self.seed, self.name, "noise", position))
        own, noise = torch.randn((2, *shape), generator=generator)
        return own, noise, torch.randint(timesteps, (), generator=generator), torch.rand((), generator=generator)


def made_from(file: Path) -> str | None:
    """Return what the examples in a file were made from; None if there is no file."""
    if not file.is_file():
        return None
    with safe_open(file, "pt") as examples:
        return str(examples.metadata()["made from"])


@torch.no_grad()
def encode(images: Iterator[Enlarged], vae: AutoencoderKL, cell: int) -> Examples:
    """Encode images, some at a time.

    Args:
        images: views at the model's resolution.
        vae: in float32, on its device.
        cell: model pixels a latent cell, along a side.
    """
    encoded: list[Examples] = []
    scale = vae.config.scaling_factor
    while some := list(islice(images, _ENCODED_AT_ONCE)):
        image, known, hidden, around = (torch.stack(values).to(vae.device) for values in zip(*some, strict=True))
        distribution = vae.encode(image).latent_dist
        rest = vae.encode(known).latent_dist.mode()
        kept = distribution.mean * scale, distribution.std * scale, rest * scale, latent_mask(hidden, cell), around
        encoded.append(Examples(*(values.cpu() for values in kept)))
    return Examples(*(torch.cat(values) for values in zip(*encoded, strict=True)))


def enlarged(view: View, stretch: Stretch, factor: int) -> Enlarged:
    """Return a view at the model's resolution."""
    window = stretch.to_model(view.dn)
    around = without_hidden(window, view.mask)
    image, known = enlarge(torch.from_numpy(np.stack([window, around])), factor)
    hidden = torch.from_numpy(np.kron(view.mask, np.ones((factor, factor), bool)))[None]
    return Enlarged(image, known * ~hidden, hidden, torch.from_numpy(np.concatenate([around, view.mask[None]])))
