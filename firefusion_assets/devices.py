"""Where tensors live: the GPU that the step was given, else the CPU; the same code runs on both."""

import torch


def compute_device() -> torch.device:
    """Return the current GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
