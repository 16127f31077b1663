"""A look at the model while it is trained: some fires of the train part, painted anew after so many steps."""

import logging
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from firefusion_assets.core import seeding
from firefusion_assets.core.memory import Parts
from firefusion_assets.engines.stable_diffusion.base_model import DTYPES
from firefusion_assets.engines.stable_diffusion.families import text_encoders
from firefusion_assets.engines.stable_diffusion.job import FinetuningJob, open_part
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.sampling import WindowSampler
from firefusion_assets.engines.stable_diffusion.views import FireViews
from firefusion_assets.study.augmentation import Sampling

_VIEWS: Final = 4
_SIZE: Final = 128


def validation_picture(pipeline: DiffusionPipeline, job: FinetuningJob, step: int) -> Path:
    """Write `validation-STEP.png`: views above, the same painted anew below, in the model's range."""
    generator, train = job.generator, open_part(job)
    views = FireViews(train, generator)
    chosen = [views[number] for number in range(min(_VIEWS, len(views)))]
    stretched = Pixels.read(job.work).stretch.to_model(np.stack([view.dn for view in chosen]))
    masks = np.stack([view.mask for view in chosen])
    factor = generator.resolution // generator.window(train.meta.patch_size)
    seeds = [seeding.derive_seed(generator.seed, "validation", number) for number in range(len(chosen))]
    scheduler, training = pipeline.scheduler, pipeline.unet.training
    device = pipeline.unet.device
    lent = {part: part.device for part in (pipeline.vae, *text_encoders(pipeline))}
    pipeline.to(device)
    pipeline.unet.eval()
    dtype = DTYPES[generator.mixed_precision]
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        parts = Parts("leave out generator.validation_steps", logging.getLogger(__name__).warning)
        sampler = WindowSampler(pipeline, Sampling(batch_size=_VIEWS), factor, generator.instance_prompt)
        painted = np.where(masks[:, None], parts.joined(sampler, stretched, masks, seeds), stretched)
    pipeline.scheduler = scheduler
    pipeline.unet.train(training)
    for part, home in lent.items():
        part.to(home)
    rows = [np.concatenate(list(images), axis=-1) for images in (stretched, painted)]
    picture = np.concatenate(rows, axis=-2).transpose(1, 2, 0)
    image = Image.fromarray(np.rint((np.clip(picture, -1, 1) + 1) * 127.5).astype(np.uint8))
    enlargement = max(1, _SIZE // stretched.shape[-1])
    path = job.work / f"validation-{step:07d}.png"
    image.resize((image.width * enlargement, image.height * enlargement), Image.Resampling.NEAREST).save(path)
    return path
