"""Devices whose memory holds few examples at once."""

from typing import Any

import pytest
import torch


def hold_at_most(limit: int, network: type[torch.nn.Module], patch: pytest.MonkeyPatch) -> list[int]:
    """Let networks of a class run out of memory with larger batches; return the sizes of those that they got."""
    sizes: list[int] = []
    real = network.forward

    def forward(self: torch.nn.Module, sample: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        sizes.append(len(sample))
        if len(sample) > limit:
            raise torch.OutOfMemoryError(f"no room for {len(sample)}")
        return real(self, sample, *arguments, **named)

    patch.setattr(network, "forward", forward)
    return sizes
