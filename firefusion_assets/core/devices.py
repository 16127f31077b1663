"""Where tensors live: the GPU that the step was given, else the CPU; the same code runs on both."""

import torch


def device_count() -> int:
    """Return the number of GPUs that this process may use, at least 1: without one the CPU counts."""
    return max(1, torch.cuda.device_count())


def compute_device() -> torch.device:
    """Return the current GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
