"""The parts of diffusers that the engine is built from, imported in one place.

diffusers imports torchvision wherever it is installed, for models that aren't used here. Where torchvision's
binaries were built for another torch (a CUDA build beside a CPU torch) that import fails unless two of its
operators are at least declared; nothing here calls them.
"""

from importlib import import_module

import torch

try:
    import_module("torchvision")
except ImportError:
    pass
except RuntimeError:
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )

from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

__all__ = ["DDIMScheduler", "DiffusionPipeline", "UNet2DModel"]
