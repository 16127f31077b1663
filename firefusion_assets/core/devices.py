"""Where tensors live: the GPU that the step was given, CUDA's or Apple's, else the CPU; the same code runs on all."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def device_count() -> int:
    """Return the number of devices that this process may use at once, at least 1: Apple's GPU and the CPU are one."""
    return max(1, torch.cuda.device_count())


def compute_device() -> torch.device:
    """Return the current CUDA GPU where there is one, else Apple's, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def take_device(slot: int) -> None:
    """Make the GPU of a worker's slot its current one; workers share GPUs where there are fewer."""
    if torch.cuda.is_available():
        torch.cuda.set_device(slot % torch.cuda.device_count())


def moved(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return values of the CPU on a device."""
    # From pinned memory the copy waits for nothing: the next batch is made while the GPU works on this one.
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def free_cached_memory() -> None:
    """Give back the device's memory that holds nothing any more, for others or for larger pieces."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


@contextmanager
def tensor_float32(allowed: bool) -> Iterator[None]:
    """Let products of float32 matrices be rounded to TF32 (10 bits of mantissa) on GPUs that are faster with it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
