"""A U-Net's training step against plain loops: everything in memory, and on a GPU the thesis' way."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch.nn import functional as F

from firefusion_assets.core.devices import compute_device
from firefusion_assets.patchstore import Patch, Patches, PatchWriter, StoreMeta
from firefusion_assets.segmentation.networks import build_network
from firefusion_assets.segmentation.training import TrainingJob, train_unet
from firefusion_assets.study.models import Training

_BANDS: Final = ("B7", "B6", "B2")
_STEPS: Final = 100
_RUNS: Final = 5


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield steps a second of our training, and of a plain loop."""
    cuda = compute_device().type == "cuda"
    filters, size, precision = (64, 256, "bf16") if cuda else (4, 64, "no")
    recipe = Training(bands=_BANDS, filters=filters, steps=_STEPS, validate_every=_STEPS, mixed_precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        job = _job(Path(folder), recipe, size)
        plain = _thesis_loop if cuda else _memory_loop
        ours, theirs = [], []
        for run in range(_RUNS):  # in turns, so that a slow moment of the machine hits both
            ours.append(_ours(job, Path(folder) / str(run)))
            theirs.append(plain(job))
    name = "float32, one read a sample, .item() a step" if cuda else "all patches in memory"
    yield f"U-Net, steps/s ({name})", statistics.median(ours), statistics.median(theirs)


def _job(folder: Path, recipe: Training, size: int) -> TrainingJob:
    """Write 64 patches, every other one with fire."""
    rng = np.random.default_rng(1)
    with PatchWriter(folder / "base", StoreMeta(study="bench", bands=_BANDS, patch_size=size)) as writer:
        for number in range(64):
            bands = rng.integers(6000, 12000, (3, size, size)).astype(np.uint16)
            label = np.zeros((size, size), bool)
            label[5:15, 5:15] = number % 2 == 0
            writer.add_patch(f"p{number:02d}", Patch(bands, label, np.zeros_like(label)))
    ids = tuple(f"p{number:02d}" for number in range(64))
    return TrainingJob(
        base=folder / "base", seed=1, train_ids=ids[:63], val_ids=ids[63:], training=recipe, threshold=0.5
    )


def _ours(job: TrainingJob, work: Path) -> float:
    """Return steps a second; what a training does once is measured with one step and taken off."""
    once = job.model_copy(update={"training": job.training.model_copy(update={"steps": 1, "validate_every": 1})})
    seconds = _timed(lambda: train_unet(job, work / "all")) - _timed(lambda: train_unet(once, work / "one"))
    return (_STEPS - 1) / seconds


def _memory_loop(job: TrainingJob) -> float:
    """Adam and binary cross-entropy on batches that are cut from one tensor."""
    store = Patches(job.base)
    dn = torch.from_numpy(np.stack([store.read(patch_id).bands for patch_id in job.train_ids]).astype(np.float32))
    labels = torch.from_numpy(np.stack([store.read(patch_id).label for patch_id in job.train_ids]).astype(np.float32))
    dn = (dn - dn.mean((0, 2, 3), keepdim=True)) / dn.std((0, 2, 3), keepdim=True)
    network = build_network(job.training).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        chosen = torch.randint(len(dn), (job.training.batch_size,))
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(dn[chosen])[:, 0], labels[chosen]).backward()
        optimizer.step()

    step()
    return _STEPS / _timed(lambda: [step() for _ in range(_STEPS)])


def _thesis_loop(job: TrainingJob) -> float:
    """Float32, one read of the store a sample, the loss fetched at every step."""
    store, device = Patches(job.base), compute_device()
    network = build_network(job.training).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    rng = np.random.default_rng(1)

    def step() -> None:
        patches = [store.read(job.train_ids[i]) for i in rng.integers(0, len(job.train_ids), job.training.batch_size)]
        images = torch.stack([torch.from_numpy(patch.bands.astype(np.float32) / 65535) for patch in patches]).to(device)
        labels = torch.stack([torch.from_numpy(patch.label.astype(np.float32)) for patch in patches]).to(device)
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(network(images)[:, 0], labels)
        loss.backward()
        optimizer.step()
        loss.item()

    step()
    return _STEPS / _timed(lambda: [step() for _ in range(_STEPS)])


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
