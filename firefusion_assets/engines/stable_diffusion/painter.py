"""Painting whole patches with engine `stable-diffusion`: the composite in float, then the other bands."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import DiffusionPipeline

from firefusion_assets.core import seeding
from firefusion_assets.core.devices import compute_device
from firefusion_assets.engines.contract import compose, require_finite
from firefusion_assets.engines.stable_diffusion.base_model import DTYPES, load_base, load_base_of
from firefusion_assets.engines.stable_diffusion.families import networks
from firefusion_assets.engines.stable_diffusion.pixels import LORA_FILE, Pixels
from firefusion_assets.engines.stable_diffusion.publishing import merge_adapters
from firefusion_assets.engines.stable_diffusion.sampling import WindowSampler
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.windows import Place, paint_by_windows
from firefusion_assets.study.augmentation import Sampling


class StableDiffusionPainter:
    """Paints with a pretrained or fine-tuned model.

    Args:
        generator: the config's; a local `base_model` as an absolute path.
        folder: what `publishing` wrote.
        sampling: the config's.
    """

    def __init__(self, generator: StableDiffusionGenerator, folder: Path, sampling: Sampling) -> None:
        self._generator = generator
        self._pixels = Pixels.read(folder)
        self._pipeline = load_pipeline(generator, folder, sampling)
        self._sampling = sampling

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch; see `study.engine.Painter`."""
        pixels, size = self._pixels, self._generator.window(backgrounds.shape[-1])
        sampler = WindowSampler(
            self._pipeline, self._sampling, self._generator.resolution // size, self._generator.instance_prompt
        )

        def sample(
            known: npt.NDArray[np.uint16],
            label: npt.NDArray[np.bool_],
            edit: npt.NDArray[np.bool_],
            places: Sequence[Place],
        ) -> npt.NDArray[np.float32]:
            drawn = [seeding.derive_seed(int(seeds[place.patch]), "window", place.number) for place in places]
            return pixels.to_dn(sampler(pixels.stretch.to_model(known), edit, drawn))

        channels = [pixels.bands.index(band) for band in self._generator.composite]
        dn_max = pixels.stretch.dn_max
        painted = backgrounds.copy()
        painted[:, channels] = paint_by_windows(backgrounds[:, channels], labels, edits, size, dn_max, sample)
        if pixels.companions is None:
            return painted
        return compose(pixels.companions.fill(painted, labels), painted, labels & edits, dn_max)


def load_pipeline(generator: StableDiffusionGenerator, folder: Path, sampling: Sampling) -> DiffusionPipeline:
    """Return the pipeline that a model folder stands for, on the device, as `sampling` wants it."""
    if (folder / "model_index.json").is_file():
        pipeline = load_base(folder, None)
    else:
        pipeline = load_base_of(generator)
        if (folder / LORA_FILE).is_file():
            merge_adapters(pipeline, folder)
    require_finite(pipeline.unet, folder)
    pipeline.to(compute_device())
    for network in networks(pipeline):
        network.to(DTYPES[sampling.mixed_precision])
    if sampling.attention_slicing:
        pipeline.enable_attention_slicing()
    if sampling.channels_last:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    if sampling.compile:
        pipeline.unet = torch.compile(pipeline.unet)
    return pipeline
