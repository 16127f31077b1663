"""The networks that a study can train: the thesis' U-Net, and those of segmentation-models-pytorch.

Networks map scaled bands to logits; scaling, loss and files are elsewhere.
"""

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from firefusion_assets.study.models import THESIS_UNET, Training

_UNET_LEVELS = 5
_SMP_STRIDE = 32
"""Deepest stride of the encoders of segmentation-models-pytorch; its multiples suit each architecture."""


def build_network(training: Training) -> nn.Module:
    """Return the network that a study trains, with fresh weights.

    The weights are drawn from torch's global generator: seed it first.

    Args:
        training: names the architecture and the bands.

    Returns:
        A network that takes float32 (N, C, H, W), the bands scaled to about unit variance, H and W of any
        size, and gives logits, float32 (N, 1, H, W).

    Raises:
        ImportError: if an `smp-` architecture is asked for and its package can't be imported.
        ValueError: if encoder or weights are unknown, or the architecture can't work with them.
    """
    if training.architecture == THESIS_UNET:
        return Padded(UNet(len(training.bands), training.filters), 2 ** (_UNET_LEVELS - 1))
    try:
        import segmentation_models_pytorch as smp
    except RuntimeError as error:  # what torchvision raises when its binaries were built for another torch
        raise ImportError(
            f"{training.architecture!r} needs segmentation_models_pytorch, which can't be imported: {error}. "
            "Install torch and torchvision of one build: both for the CPU, or both for the same CUDA version."
        ) from error
    try:
        network = smp.create_model(
            training.architecture.removeprefix("smp-"),
            encoder_name=training.encoder,
            encoder_weights=training.encoder_weights,
            in_channels=len(training.bands),
            classes=1,
        )
    except KeyError as error:  # how the package answers a name it doesn't know; its text lists those it does
        raise ValueError(error.args[0]) from error
    return Padded(network, _SMP_STRIDE)


@torch.no_grad()
def start_from_class_share(network: nn.Module, share: float) -> None:
    """Set a network's last convolution so that at first it predicts about a share of fire everywhere.

    Else the first steps of a training are spent on learning that fire is rare (Lin et al. 2017,
    https://arxiv.org/abs/1708.02002, section 4.1). Its weights become positive: what they weigh is, so the rare fire
    raises all of it. With weights of both signs two of ten trainings of a U-Net of 4 filters never saw a fire.

    Args:
        network: what `build_network` returned.
        share: of pixels with fire, in (0, 1).
    """
    *_, last = (module for module in network.modules() if isinstance(module, nn.Conv2d) and module.bias is not None)
    last.weight.abs_()
    nn.init.constant_(cast(Tensor, last.bias), math.log(share / (1 - share)))


def weights_of_encoder(encoder: str) -> dict[str, tuple[str, str, str]] | None:
    """Return the pretrained weights that an encoder of segmentation-models-pytorch has, and where the hub has them.

    Returns:
        By name: repository, file that a look is enough for, revision. None for encoders of timm (`tu-NAME`,
        `timm-NAME`): their weights are part of the name.
    """
    from segmentation_models_pytorch.encoders import encoders

    if encoder.startswith(("tu-", "timm-")):
        return None
    published = encoders[encoder]["pretrained_settings"]
    return {name: (one["repo_id"], "config.json", one["revision"]) for name, one in published.items()}


class UNet(nn.Module):
    """The thesis' U-Net: five levels, two convolutions each, transposed convolutions up, no dropout.

    Args:
        in_channels: bands.
        filters: filters of the first level (thesis: 64); each level doubles them.
    """

    def __init__(self, in_channels: int, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(_UNET_LEVELS)]
        self.down = nn.ModuleList(_double_convolution(*pair) for pair in pairwise([in_channels, *widths]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, wide, 2, stride=2) for wide, deep in pairwise(widths))
        self.merge = nn.ModuleList(_double_convolution(2 * wide, wide) for wide in widths[:-1])
        self.head = nn.Conv2d(filters, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 1, H, W) of float (N, C, H, W); H and W are multiples of 16."""
        skips = []
        for level in self.down[:-1]:
            x = level(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.down[-1](x)
        for up, merge, skip in reversed(list(zip(self.up, self.merge, skips, strict=True))):
            x = merge(torch.cat([skip, up(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),  # the normalisation brings the bias
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Padded(nn.Module):
    """Lets a network that needs a multiple of some size take any: edges are repeated, the logits cut back.

    Args:
        network: gives logits of its input's height and width.
        multiple: what height and width must be a multiple of, in px.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 1, H, W) of float (N, C, H, W)."""
        height, width = x.shape[-2:]
        right, below = -width % self.multiple, -height % self.multiple
        if right or below:  # else a copy would be made for nothing
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        logits: Tensor = self.network(x)
        return logits[..., :height, :width]
