"""What all trainings share: counting steps, the checkpoint that a killed run goes on from, and saying how it goes."""

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.memory import Parts
from firefusion_assets.core.processes import ends_held
from firefusion_assets.core.tracking import NoTracker, Tracker, tracked_training

_TOO_LARGE: Final = "a single example is too large for it; make what an example holds smaller, or the network"
_TELL_EVERY_S: Final = 20.0
"""How long a training may say nothing."""


class Part(Protocol):
    """What a checkpoint holds of a training: a network, an optimizer, a schedule, an average of the weights."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state, of tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Go back to a state."""


class Schedule(Part, Protocol):
    """How the learning rate of an optimizer moves."""

    def step(self) -> None:
        """Move on by an optimizer step."""


class TrainingLoop:
    """Steps of a training that can be stopped at any moment; iterate over it to take those that are left.

    A checkpoint is one file, `checkpoint-STEP.pt`. Random state and the place in the data have to follow from the
    step, so they are no part of it.

    Args:
        work: folder of the checkpoints.
        job: what the training depends on, as text; a checkpoint of another job is refused.
        steps: optimizer steps in all.
        parts: what makes up the training's state, by name.
        schedule: of the learning rate, if it moves.
        average: moves averaged weights on after a step, of which it gets the number, if an average is kept.
        keep: how many checkpoints stay.
        saves: whether this process writes a checkpoint when it is told to end; of several that train together, one.
        label: what messages begin with.
        remedy: what to do if the loss stops being finite.
        progress: called with lines on how the training goes.

    Attributes:
        parts: in which a batch is learned from.
    """

    def __init__(
        self,
        work: Path,
        job: str,
        steps: int,
        parts: Mapping[str, Part],
        *,
        schedule: Schedule | None = None,
        average: Callable[[int], object] | None = None,
        keep: int = 1,
        saves: bool = True,
        label: str = "",
        remedy: str,
        progress: Callable[[str], None],
    ) -> None:
        self._work, self._job, self._steps = work, job, steps
        self._parts = dict(parts) if schedule is None else {**parts, "schedule": schedule}
        self._schedule, self._average, self._keep, self._saves = schedule, average, keep, saves
        self._label, self._remedy, self._progress = label, remedy, progress
        self._losses: list[float] = []
        self.parts = Parts(_TOO_LARGE, lambda line: progress(f"{label}{line}"))
        self._tracker: Tracker = NoTracker()
        self._unread: list[Tensor] = []
        self._saved = 0
        self._resume()
        self._started, self._first = time.monotonic(), self.step
        self._told, self._told_at = self.step, self._started

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return len(self._losses) + len(self._unread)

    @property
    def losses(self) -> list[float]:
        """Loss of each step so far; waits for the device."""
        if self._unread:
            self._losses += torch.stack(self._unread).tolist()
            self._unread.clear()
        return self._losses

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers, from 0, of the steps that are left; each has to end with `stepped` or `descend`.

        A SIGTERM or Ctrl-C waits for the end of the step and for a checkpoint, so that no step is done twice.
        """
        with tracked_training(self._label.rstrip(": ")) as self._tracker:
            self._started = self._told_at = time.monotonic()
            for step in range(self.step, self._steps):
                with ends_held() as ends:
                    yield step
                    if ends and self._saves and self.step > self._saved:
                        self.save()
                        self._progress(f"{self._label}told to end; saved step {self.step} of {self._steps}")

    def descend(
        self, optimizer: torch.optim.Optimizer, loss: Tensor, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Take a step down the gradient of a loss, scaled up where half precision would lose it."""
        optimizer.zero_grad()
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        self.stepped(loss)

    def stepped(self, loss: Tensor) -> None:
        """Count a step that the optimizer has taken; its loss, a scalar, stays on the device until it is read."""
        if self._average is not None:
            self._average(self.step)
        self._unread.append(loss.detach())
        if self._schedule is not None:
            self._schedule.step()
        if time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self.report(self.mean_loss(since=self._told))

    def due(self, every: int) -> bool:
        """Tell whether it is time for what is done each `every` steps and after the last."""
        return self.step % every == 0 or self.step == self._steps

    def mean_loss(self, since: int) -> float:
        """Return the mean loss of the steps after step `since`.

        Raises:
            FloatingPointError: if one of them isn't finite.
        """
        recent = self.losses[since:]
        if not all(map(math.isfinite, recent)):
            raise FloatingPointError(f"{self._label}loss not finite at step {self.step}; {self._remedy}")
        *_, total = accumulate(recent)
        return total / len(recent)

    def report(self, loss: float, figures: Mapping[str, float | None] | None = None) -> None:
        """Tell step, loss, other figures (None where one isn't defined), speed and the time that is left."""
        known = {"loss": loss} | {name: value for name, value in (figures or {}).items() if value is not None}
        self._tracker.figures(known, self.step)
        more = "".join(
            f", {name} {'not defined' if value is None else f'{value:.4f}'}" for name, value in (figures or {}).items()
        )
        self._told, self._told_at = self.step, time.monotonic()
        speed = (self.step - self._first) / (self._told_at - self._started)
        shown = f"{speed:.1f}" if speed >= 1 else f"{speed:.2g}"
        self._progress(
            f"{self._label}step {self.step} of {self._steps}, loss {loss:.4f}{more}, {shown} steps/s, "
            f"about {(self._steps - self.step) / speed / 60:.1f} min left"
        )

    def picture(self, name: str, file: Path) -> None:
        """Show what the network makes by now, from a PNG file, where a tracker listens."""
        self._tracker.picture(name, file, self.step)

    def save(self) -> None:
        """Write a checkpoint and remove older ones.

        Raises:
            FloatingPointError: if a loss since the last one isn't finite: it would be saved over what was good.
        """
        self.mean_loss(since=self._saved)
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts.items()}
        state |= {"job": self._job, "losses": self.losses}
        # By a handle: given a path, torch has no words for a full disk.
        write_atomically(self._work / f"checkpoint-{self.step:07d}.pt", partial(_save, state))
        self._saved = self.step
        for old in _checkpoints(self._work)[: -self._keep]:
            old.unlink()

    def _resume(self) -> None:
        if checkpoints := _checkpoints(self._work):
            newest = checkpoints[-1]
            state = torch.load(newest, map_location="cpu", weights_only=True)
            if state.get("job") != self._job:
                raise ValueError(f"{newest} belongs to a training with other settings; remove it to start afresh")
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
            self._losses = state["losses"]
            self._progress(f"{self._label}resumed at step {self.step} of {self._steps}")
        self._saved = self.step


def _save(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(state, file)


def learning_rate(schedule: str, highest: float, step: int, steps: int, warm_up: int) -> float:
    """Return the learning rate of a step (from 0): a rise, then `constant` or a `cosine` down to 0 at the end."""
    risen = highest * min(1, (step + 1) / max(warm_up, 1))
    return risen * math.cos(math.pi / 2 * step / steps) ** 2 if schedule == "cosine" else risen


@torch.no_grad()
def move_average(averaged: torch.nn.Module, current: torch.nn.Module, decay: float, step: int) -> None:
    """Move averaged weights towards the current ones; early steps (from 0), which start from noise, count less.

    Not diffusers' `EMAModel`, which leaves the buffers of a batch normalisation behind.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    for kept, new in zip(averaged.state_dict().values(), current.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, share)
        else:
            kept.copy_(new)


def write_losses(path: Path, losses: list[float]) -> None:
    """Write the loss of each step, from 1, as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("step", "loss"), *enumerate(losses, start=1)])


def remove_checkpoints(work: Path) -> None:
    """Remove what only a resumed training needs, files that a kill cut short among it."""
    for checkpoint in work.glob("checkpoint*.pt*"):
        checkpoint.unlink()


def _checkpoints(work: Path) -> list[Path]:
    return sorted(work.glob("checkpoint-*.pt"))
