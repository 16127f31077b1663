"""Where tensors live: the GPU that the step was given, else the CPU; the same code runs on both."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def device_count() -> int:
    """Return the number of GPUs that this process may use, at least 1: without one the CPU counts."""
    return max(1, torch.cuda.device_count())


def compute_device() -> torch.device:
    """Return the current GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def tensor_float32(allowed: bool) -> Iterator[None]:
    """Let products of float32 matrices be rounded to TF32 (10 bits of mantissa) on GPUs that are faster with it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
