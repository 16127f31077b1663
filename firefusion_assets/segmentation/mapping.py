"""Networks over rasters of any size: overlapping windows of the size that they were trained on, blended.

Memory holds the lines of one row of windows, whatever the raster's size; reading and writing are elsewhere.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from firefusion_assets.core.devices import compute_device
from firefusion_assets.segmentation.batches import Normalisation

OVERLAP: Final = 0.125
"""Share of a window that overlaps the next. What lies between the overlaps is what the window alone predicts; a quarter
in its place leaves hardly less of a seam."""

_PIXELS_AT_ONCE: Final = {"cpu": 2**18, "cuda": 2**22, "mps": 2**20}
"""In one call of a network, as measured on a CPU; what keeps a GPU busy."""

Network = tuple[nn.Module, Normalisation]
"""A network in evaluation mode (see `prepared`), and the constants of its input."""


class Lines(Protocol):
    """A raster that is read line by line."""

    @property
    def height(self) -> int:
        """Lines."""

    @property
    def width(self) -> int:
        """Samples."""

    def read(self, first: int, stop: int) -> npt.NDArray[np.uint16]:
        """Return DN, uint16 (bands, stop - first, width), in the order of the networks' bands; 0 in all is fill."""


class MappedLines(NamedTuple):
    """What networks say of some lines; NaN where the raster holds no data.

    Attributes:
        first: the raster's line that the arrays begin with.
        probability: float32 (lines, width), mean over the networks.
        spread: float32 (lines, width), standard deviation over the networks, and over the windows where they overlap.
    """

    first: int
    probability: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]


def prepared(network: nn.Module) -> nn.Module:
    """Return a network that predicts the same but for rounding, faster: normalisations are part of convolutions."""
    fused = copy.deepcopy(network)
    for layers in fused.modules():
        if isinstance(layers, nn.Sequential):
            for place, (one, following) in enumerate(pairwise(list(layers))):
                if isinstance(one, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                    layers[place], layers[place + 1] = fuse_conv_bn_eval(one, following), nn.Identity()
    return fused.to(memory_format=torch.channels_last)


def map_lines(networks: Sequence[Network], lines: Lines, window: int) -> Iterator[MappedLines]:
    """Yield the probability of fire of a whole raster, from north to south.

    Args:
        networks: of one study, on one device; at least one.
        lines: the raster, with the networks' bands.
        window: height and width of what a network sees at once, in px: that of the patches it was trained on.
    """
    rows, columns = _starts(lines.height, window), _starts(lines.width, window)
    ramp = _ramp(window)
    across = _covered(columns, window, max(lines.width, window))
    width = max(lines.width, window)
    moments = np.zeros((2, window, width), np.float32)
    down = np.zeros(window, np.float32)
    for row, following in zip(rows, [*rows[1:], lines.height], strict=True):
        dn = np.zeros((len(networks[0][1].bands), window, width), np.uint16)
        read = lines.read(row, min(row + window, lines.height))
        dn[:, : read.shape[1], : read.shape[2]] = read
        used = [column for column in columns if dn[:, :, column : column + window].any()]
        scaled = _scaled(networks, dn)
        size = max(1, _PIXELS_AT_ONCE[compute_device().type] // window**2)
        for start in range(0, len(used), size):
            places = used[start : start + size]
            found = _predict(networks, scaled, places, window)
            for place, of_window in zip(places, found, strict=True):
                moments[:, :, place : place + window] += of_window * (ramp[:, None] * ramp)
        down += ramp
        n = following - row
        mean, square = moments[:, :n, : lines.width] / (down[:n, None] * across[: lines.width])
        fill = ~(dn[:, :n, : lines.width] > 0).any(0)
        mean[fill] = np.nan
        yield MappedLines(row, mean, np.sqrt(np.maximum(square - mean * mean, 0)))
        moments = np.concatenate([moments[:, n:], np.zeros((2, n, width), np.float32)], axis=1)[:, :window]
        down = np.concatenate([down[n:], np.zeros(n, np.float32)])[:window]


def _scaled(networks: Sequence[Network], dn: npt.NDArray[np.uint16]) -> dict[Normalisation, Tensor]:
    """Return lines (C, lines, width) as the networks' input, by what they are scaled with; networks may share it."""
    on_device = torch.from_numpy(dn)[None].to(compute_device())
    return {constants: constants.scale(on_device)[0] for constants in {constants for _, constants in networks}}


@torch.inference_mode()
def _predict(
    networks: Sequence[Network], scaled: Mapping[Normalisation, Tensor], places: Sequence[int], window: int
) -> npt.NDArray[np.float32]:
    """Return mean and mean square over the networks of the probability of fire, float32 (windows, 2, H, W)."""
    windows = {
        constants: torch.stack([lines[:, :, place : place + window] for place in places]).contiguous(
            memory_format=torch.channels_last
        )
        for constants, lines in scaled.items()
    }
    total = square = torch.zeros((), device=compute_device())
    for network, constants in networks:
        probability = torch.sigmoid(network(windows[constants])[:, 0])
        total, square = total + probability, square + probability * probability
    moments: npt.NDArray[np.float32] = (torch.stack([total, square], dim=1) / len(networks)).cpu().numpy()
    return moments


def _starts(length: int, window: int) -> list[int]:
    """Return where windows begin; the last one ends with the raster, if that is larger than a window."""
    if length <= window:
        return [0]
    return [*range(0, length - window, window - _overlap(window)), length - window]


def _overlap(window: int) -> int:
    return int(window * OVERLAP)


def _ramp(window: int) -> npt.NDArray[np.float32]:
    """Return the weight of a window's pixels along an axis: those of two neighbours add up to 1 where they overlap."""
    place = np.arange(window)
    return np.minimum((np.minimum(place, place[::-1]) + 1) / (_overlap(window) + 1), 1).astype(np.float32)


def _covered(starts: Sequence[int], window: int, length: int) -> npt.NDArray[np.float32]:
    """Return the sum of all windows' weights along an axis, float32 (length,)."""
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + window] += _ramp(window)
    return total
