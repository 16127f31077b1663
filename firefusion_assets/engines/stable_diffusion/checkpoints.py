"""What a fine-tuning has reached, on disk and back."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel

from firefusion_assets.core.atomic_files import write_atomically


class TrainingState:
    """Weights, optimizer, learning rate, average and losses of a training.

    Random state and data position follow from the step, so they are no part of it.

    Args:
        parameters: what is trained, by name.
        optimizer: of the parameters.
        lr_scheduler: of the optimizer.
        average: of the parameters, if one is kept.
        scaler: of the gradients in fp16, if there is one.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        lr_scheduler: Any,
        average: EMAModel | None,
        scaler: Any,
    ) -> None:
        self._parameters = parameters
        self._parts = {"optimizer": optimizer, "lr_scheduler": lr_scheduler, "average": average, "scaler": scaler}
        self._losses: list[float] = []
        self._unread: list[torch.Tensor] = []

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return len(self._losses) + len(self._unread)

    @property
    def losses(self) -> list[float]:
        """Loss of each optimiser step so far; waits for the device."""
        if self._unread:
            self._losses += torch.stack(self._unread).tolist()
            self._unread.clear()
        return self._losses

    def stepped(self, loss: torch.Tensor) -> None:
        """Take note of an optimiser step and its loss, a scalar: move learning rate and average on."""
        self._unread.append(loss)
        self._parts["lr_scheduler"].step()
        if self._parts["average"] is not None:
            self._parts["average"].step(self._parameters.values())

    def use_average(self) -> None:
        """Put the average, where one is kept, in place of the weights."""
        if self._parts["average"] is not None:
            self._parts["average"].copy_to(self._parameters.values())

    def save(self, work: Path, keep: int) -> None:
        """Write a checkpoint and remove all but the last `keep`."""
        state = {name: part.state_dict() for name, part in self._parts.items() if part is not None}
        state |= {"losses": self.losses, "parameters": {name: p.detach() for name, p in self._parameters.items()}}
        write_atomically(work / f"checkpoint-{self.step:07d}.pt", partial(torch.save, state))
        for old in _checkpoints(work)[:-keep]:
            old.unlink()

    def resume(self, work: Path) -> bool:
        """Go back to the last checkpoint, if there is one."""
        checkpoints = _checkpoints(work)
        if not checkpoints:
            return False
        state = torch.load(checkpoints[-1], map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(state["parameters"][name])
        for name, part in self._parts.items():
            if part is not None:
                part.load_state_dict(state[name])
        if self._parts["average"] is not None:  # it keeps what it is given where that lies
            self._parts["average"].to(device=next(iter(self._parameters.values())).device)
        self._losses = state["losses"]
        return True


def remove_checkpoints(work: Path) -> None:
    """Remove what only a resumed training needs."""
    for checkpoint in work.glob("checkpoint-*.pt*"):
        checkpoint.unlink()


def _checkpoints(work: Path) -> list[Path]:
    return sorted(work.glob("checkpoint-*.pt"))
