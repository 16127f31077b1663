"""Loading a pretrained pipeline."""

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DiffusionPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
)
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator

DTYPES: Final = {"no": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Number formats by the names of `mixed_precision`."""


def load_base_of(generator: StableDiffusionGenerator) -> DiffusionPipeline:
    """Return what a config fine-tunes or paints with; see `load_base`."""
    if generator.controlnet is None:
        return load_base(generator.base_model, generator.revision)
    place = _place(generator.controlnet, generator.controlnet_revision)
    controlnet = _loaded(ControlNetModel, generator.controlnet, place)
    return load_base(generator.base_model, generator.revision, controlnet=controlnet)


def load_base(base_model: str | Path, revision: str | None, **parts: Any) -> DiffusionPipeline:
    """Return a float32 pipeline from a folder or the hub, on the CPU, without safety checker and progress bars.

    Some checkpoints hold safetensors in half precision only, in files of the variant `fp16`: those are taken then.
    The VAE takes the images of a batch one after the other: it needs more memory for each than the U-Net. What is given
    as ``parts`` is not loaded.
    """
    place = _place(base_model, revision)
    index = DiffusionPipeline.load_config(base_model, **place)
    if "XL" in index["_class_name"]:
        pipeline = _loaded(StableDiffusionXLInpaintPipeline, base_model, place)
    else:
        # Satellite images are no people; the checker would black some of them out.
        unchecked = {"safety_checker": None, "requires_safety_checker": False}
        controlled = "controlnet" in parts or "controlnet" in index
        kind = StableDiffusionControlNetInpaintPipeline if controlled else StableDiffusionInpaintPipeline
        pipeline = _loaded(kind, base_model, place | unchecked | parts)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.enable_slicing()
    return pipeline


def load_vae(base_model: str | Path, revision: str | None) -> AutoencoderKL:
    """Return the VAE alone, in float32 on the CPU."""
    vae: AutoencoderKL = _loaded(AutoencoderKL, base_model, _place(base_model, revision) | {"subfolder": "vae"})
    return vae


def _place(base_model: str | Path, revision: str | None) -> dict[str, Any]:
    folder = Path(base_model).is_dir()
    return {"revision": None if folder else revision, "local_files_only": folder}


def _loaded(kind: Any, base_model: str | Path, settings: dict[str, Any]) -> Any:
    for log in (diffusers_logging, transformers_logging):
        log.set_verbosity_error()
        log.disable_progress_bar()
    settings |= {"use_safetensors": True, "dtype": torch.float32}
    try:
        return kind.from_pretrained(base_model, **settings)
    except OSError as missing:
        try:
            return kind.from_pretrained(base_model, variant="fp16", **settings)
        except (OSError, ValueError):
            raise missing from None
