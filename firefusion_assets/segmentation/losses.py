"""What a training minimizes: losses over the pixels that aren't ignored, a patch's weight counted.

Those of segmentation-models-pytorch know no weights; without them they are the same.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from firefusion_assets.segmentation.batches import Batch

_FOCUS: Final = 2.0
"""Exponent of the focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 4)."""
_FALSE_ALARM, _MISS = 0.3, 0.7
"""What errors cost in the Tversky loss (Salehi et al. 2017, https://arxiv.org/abs/1706.05721, equation 4)."""


def masked_loss(kind: str, logits: Tensor, batch: Batch) -> Tensor:
    """Return the loss of a batch, a scalar; 0 where no pixel counts.

    A pixel's weight is its patch's, and 0 where it is ignored: an ignored pixel has no gradient and does not dilute
    the others.

    Args:
        kind: `training.loss`: `bce` and `focal` are weighted means over pixels; `dice` and `tversky` are 1 less an
            overlap of the whole batch, and 0 without a fire pixel.
        logits: float (N, H, W).
        batch: label, ignore and weight of the N patches.
    """
    weight = batch.weight[:, None, None] * ~batch.ignore
    return _LOSSES[kind](logits, batch.label.to(logits.dtype), weight)


def _bce(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    return _ratio(F.binary_cross_entropy_with_logits(logits, label, weight, reduction="sum"), weight.sum())


def _focal(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    return _ratio(((1 - torch.exp(-entropy)) ** _FOCUS * entropy * weight).sum(), weight.sum())


def _dice(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    return _without_overlap(logits, label, weight, 0.5, 0.5)


def _tversky(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    return _without_overlap(logits, label, weight, _FALSE_ALARM, _MISS)


def _without_overlap(logits: Tensor, label: Tensor, weight: Tensor, false_alarm: float, miss: float) -> Tensor:
    fire = torch.sigmoid(logits)
    hit = (weight * fire * label).sum()
    alarms, missed = (weight * fire * (1 - label)).sum(), (weight * (1 - fire) * label).sum()
    burning = (weight * label).sum() > 0
    return (1 - _ratio(hit, hit + false_alarm * alarms + miss * missed)) * burning


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return numerator / denominator.clamp(min=torch.finfo(denominator.dtype).tiny)


_LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "bce": _bce,
    "dice": _dice,
    "focal": _focal,
    "tversky": _tversky,
}
