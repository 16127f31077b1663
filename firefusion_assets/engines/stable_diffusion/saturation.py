"""From which value of the model's range paint is saturated: the sensor's largest DN, and not a little less.

A VAE gives no value back exactly, so no paint would ever reach the largest DN, which real fires do: a network could
tell paint by that. So the train part's fires go through the VAE, and as many pixels of what comes out count as
saturated as were before.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL

from firefusion_assets.core.devices import compute_device, free_cached_memory
from firefusion_assets.engines.stable_diffusion.base_model import load_vae
from firefusion_assets.engines.stable_diffusion.enlarging import area_mean, enlarge
from firefusion_assets.engines.stable_diffusion.latents import decoded, encoded
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.stretch import Stretch
from firefusion_assets.engines.stable_diffusion.views import FireViews, View
from firefusion_assets.patchstore import PatchPart

_FIRES: Final = 128
"""Fire patches that are looked at, at most."""


def fit_saturation(generator: StableDiffusionGenerator, train: PatchPart, stretch: Stretch) -> tuple[float | None, ...]:
    """Return for each band of the composite from which value paint is saturated, or none if no fire is.

    Raises:
        NoFireError: if the train part holds no fire.
    """
    views = FireViews(train, generator.model_copy(update={"training_masks": "annotated"}))
    chosen = [views[number] for number in range(min(len(views.fire_ids), _FIRES))]
    before = np.concatenate([view.dn[:, view.mask] for view in chosen], axis=1)
    counts = (before == stretch.dn_max).sum(axis=1)
    if not counts.any():
        return (None,) * len(counts)
    vae = load_vae(generator.base_model, generator.revision).to(compute_device())
    factor = generator.resolution // generator.window(train.meta.patch_size)
    after = np.concatenate([_through(vae, view, stretch, factor) for view in chosen], axis=1)
    del vae
    free_cached_memory()  # the trainer is another process, and needs the room
    ranked = -np.sort(-after, axis=1)
    return tuple(float(values[count - 1]) if count else None for values, count in zip(ranked, counts, strict=True))


@torch.no_grad()
def _through(vae: AutoencoderKL, view: View, stretch: Stretch, factor: int) -> npt.NDArray[np.float32]:
    """Return the values (3, n) of a view's hidden pixels after the VAE."""
    image = enlarge(torch.from_numpy(stretch.to_model(view.dn))[None].to(vae.device), factor)
    values: npt.NDArray[np.float32] = area_mean(decoded(vae, encoded(vae, image)), factor)[0].cpu().numpy()
    return values[:, view.mask]
