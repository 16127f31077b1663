"""Loading a pretrained pipeline."""

from pathlib import Path
from typing import Final

import torch
from diffusers import StableDiffusionInpaintPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

DTYPES: Final = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Number formats by the names of `mixed_precision`."""


def load_base(
    base_model: str | Path, revision: str | None, dtype: torch.dtype = torch.float32
) -> StableDiffusionInpaintPipeline:
    """Return a pipeline from a folder or the hub, on the CPU, without safety checker and progress bars.

    Some checkpoints hold safetensors in half precision only, in files of the variant `fp16`: those are taken then.
    """
    for log in (diffusers_logging, transformers_logging):
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        pipeline = _load(base_model, revision, dtype, variant=None)
    except OSError as missing:
        try:
            pipeline = _load(base_model, revision, dtype, variant="fp16")
        except (OSError, ValueError):
            raise missing from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _load(
    base_model: str | Path, revision: str | None, dtype: torch.dtype, variant: str | None
) -> StableDiffusionInpaintPipeline:
    folder = Path(base_model).is_dir()
    return StableDiffusionInpaintPipeline.from_pretrained(
        base_model,
        revision=None if folder else revision,
        variant=variant,
        local_files_only=folder,
        dtype=dtype,
        use_safetensors=True,
        # Satellite images are no people; the checker would black some of them out.
        safety_checker=None,
        requires_safety_checker=False,
    )
