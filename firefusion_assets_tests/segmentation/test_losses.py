"""Losses count each pixel by its patch's weight, ignored ones not at all, and else are those of the field."""

import numpy as np
import pytest
import torch

from firefusion_assets.segmentation.batches import Batch
from firefusion_assets.segmentation.losses import masked_loss

KINDS = ("bce", "dice", "focal", "tversky")


def random_batch(n: int, seed: int) -> tuple[torch.Tensor, Batch]:
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(size=(n, 5, 6)), requires_grad=True)
    masks = torch.from_numpy(rng.random((2, n, 5, 6)) < 0.4)
    return logits, Batch(torch.empty(0), masks[0], masks[1], torch.tensor(rng.random(n)))


def by_hand(kind: str, logits: torch.Tensor, batch: Batch) -> float:
    """Pixel after pixel."""
    sums = dict.fromkeys(("weight", "bce", "focal", "hit", "alarm", "miss"), 0.0)
    for n, y, x in np.ndindex(*logits.shape):
        if batch.ignore[n, y, x]:
            continue
        weight, fire = batch.weight[n].item(), bool(batch.label[n, y, x])
        p = 1 / (1 + np.exp(-logits[n, y, x].item()))
        right = p if fire else 1 - p
        sums["weight"] += weight
        sums["bce"] -= weight * np.log(right)
        sums["focal"] -= weight * (1 - right) ** 2 * np.log(right)
        sums["hit"] += weight * p * fire
        sums["alarm"] += weight * p * (not fire)
        sums["miss"] += weight * (1 - p) * fire
    if kind in ("bce", "focal"):
        return sums[kind] / sums["weight"]
    alarm, miss = (0.5, 0.5) if kind == "dice" else (0.3, 0.7)
    return 1 - sums["hit"] / (sums["hit"] + alarm * sums["alarm"] + miss * sums["miss"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_is_what_its_equation_says(kind: str) -> None:
    logits, batch = random_batch(3, 0)
    assert masked_loss(kind, logits, batch).item() == pytest.approx(by_hand(kind, logits, batch), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_weights_a_loss_is_that_of_segmentation_models_pytorch(kind: str) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="needs the extra smp")
    theirs = {
        "bce": smp.losses.SoftBCEWithLogitsLoss(ignore_index=-1, reduction="sum"),
        "dice": smp.losses.DiceLoss("binary", ignore_index=-1),
        "focal": smp.losses.FocalLoss("binary", ignore_index=-1),
        "tversky": smp.losses.TverskyLoss("binary", ignore_index=-1, alpha=0.3, beta=0.7),
    }[kind]
    logits, batch = random_batch(3, 4)
    batch = batch._replace(weight=torch.ones(3, dtype=torch.float64))
    truth = batch.label.to(torch.float64).masked_fill(batch.ignore, -1)[:, None]
    expected = theirs(logits[:, None], truth) / ((~batch.ignore).sum() if kind == "bce" else 1)
    assert masked_loss(kind, logits, batch).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_ignored_pixels_have_no_gradient_and_no_say(kind: str) -> None:
    logits, batch = random_batch(3, 1)
    masked_loss(kind, logits, batch).backward()
    assert logits.grad is not None
    assert (logits.grad[batch.ignore] == 0).all()
    assert (logits.grad[~batch.ignore] != 0).all()
    other_labels = batch._replace(label=batch.label ^ batch.ignore)
    assert masked_loss(kind, logits, other_labels) == masked_loss(kind, logits, batch)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_ignored_pixels_has_no_loss(kind: str) -> None:
    logits, batch = random_batch(2, 2)
    loss = masked_loss(kind, logits, batch._replace(ignore=torch.ones_like(batch.ignore)))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None and (logits.grad == 0).all()


@pytest.mark.parametrize("kind", ["dice", "tversky"])
def test_without_fire_there_is_no_overlap_to_learn(kind: str) -> None:
    logits, batch = random_batch(2, 3)
    loss = masked_loss(kind, logits, batch._replace(label=torch.zeros_like(batch.label)))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None and (logits.grad == 0).all()
