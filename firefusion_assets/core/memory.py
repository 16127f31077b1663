"""When a device's memory runs out: the same work with fewer examples at once, or an error that says what to lower."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from firefusion_assets.core.devices import free_cached_memory
from firefusion_assets.core.errors import UserError

R = TypeVar("R")


class DeviceMemoryError(UserError, RuntimeError):
    """A device's memory can't hold the work; the message says what to lower."""


class Parts:
    """Parts of a batch, as large as memory has held so far: all of it, until it runs out; then half as much.

    Args:
        remedy: what to do where not even a single example fits.
        tell: called with a line when parts become smaller.

    Attributes:
        size: examples of a part at most; None as long as memory has held whole batches.
    """

    def __init__(self, remedy: str, tell: Callable[[str], None]) -> None:
        self._remedy, self._tell = remedy, tell
        self.size: int | None = None

    @property
    def facts(self) -> dict[str, int]:
        """What an object should say of it: the size of a part, if memory couldn't hold whole batches."""
        return {} if self.size is None else {"examples_at_once": self.size}

    def work(self, n: int, do: Callable[[Sequence[slice]], R]) -> R:
        """Return what is made of ``n`` examples, given as parts; made anew with smaller ones when memory runs out.

        Raises:
            DeviceMemoryError: if it runs out with a single example.
        """
        while True:
            size = min(n, self.size or n)
            try:
                with device_memory(self._remedy):
                    return do([slice(start, min(start + size, n)) for start in range(0, n, size)])
            except DeviceMemoryError:
                if size == 1:
                    raise
            # Not while the error is handled: it keeps alive what has to go.
            self.size = (size + 1) // 2
            free_cached_memory()
            self._tell(f"the device's memory can't hold {size} examples at once; going on with {self.size} at a time")

    def backward(self, optimizer: torch.optim.Optimizer, n: int, loss_of: Callable[[slice], Tensor]) -> Tensor:
        """Give an optimizer's weights the gradient of the loss of ``n`` examples, and return that loss.

        Args:
            optimizer: of the network.
            n: examples of the batch.
            loss_of: returns what a part of the examples adds to the loss of the batch. Its draws, and what the loss is
                divided by, have to be the batch's, so that parts add up to the same within rounding.
        """

        def add_up(parts: Sequence[slice]) -> Tensor:
            optimizer.zero_grad()
            losses = []
            for part in parts:
                loss = loss_of(part)
                loss.backward()
                losses.append(loss.detach())
            return torch.stack(losses).sum()

        return self.work(n, add_up)

    def joined(self, make: Callable[..., npt.NDArray[Any]], *values: Any) -> npt.NDArray[Any]:
        """Return what is made of examples that don't know each other, part by part; each value has one an example."""

        def join(parts: Sequence[slice]) -> npt.NDArray[Any]:
            return np.concatenate([make(*(of_all[part] for of_all in values)) for part in parts])

        return self.work(len(values[0]), join)


@contextmanager
def device_memory(remedy: str) -> Iterator[None]:
    """Raise a `DeviceMemoryError` with a remedy if memory runs out in the block."""
    try:
        yield
    except RuntimeError as error:
        # Apple's backend has no error class of its own.
        if not isinstance(error, torch.OutOfMemoryError) and "MPS backend out of memory" not in str(error):
            raise
        raise DeviceMemoryError(f"the device's memory ran out: {remedy}") from error
