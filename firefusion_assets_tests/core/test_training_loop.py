"""The loop that all trainings share: it resumes to the same state, keeps few checkpoints, and stops what diverges."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from firefusion_assets.core.training_loop import (
    TrainingLoop,
    learning_rate,
    move_average,
    remove_checkpoints,
    write_losses,
)

STEPS = 12


class Line:
    """A straight line that is fitted to noisy points; what a step draws follows from its number."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.network = torch.nn.Linear(1, 1)
        self.average = torch.nn.Linear(1, 1)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (1 + step))

    def loop(self, work: Path, messages: list[str], job: str = "line", keep: int = 1) -> TrainingLoop:
        return TrainingLoop(
            work,
            job,
            STEPS,
            {"network": self.network, "average": self.average, "optimizer": self.optimizer},
            schedule=self.schedule,
            average=self.move_average,
            keep=keep,
            label="line: ",
            remedy="lower the rate",
            progress=messages.append,
        )

    @torch.no_grad()
    def move_average(self, step: int) -> None:
        for average, parameter in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(parameter, 1 / (2 + step))

    def loss(self, step: int) -> torch.Tensor:
        torch.manual_seed(step)
        x = torch.rand(8, 1)
        return (self.network(x) - 3 * x - 1).square().mean()

    def train(self, loop: TrainingLoop, until: int = STEPS) -> None:
        for step in loop:
            loop.descend(self.optimizer, self.loss(step))
            if loop.due(5):
                loop.report(loop.mean_loss(since=0))
                loop.save()
            if loop.step == until:
                return


def test_an_average_counts_early_weights_less_and_takes_buffers_along() -> None:
    """Decays are 1/10, 2/11 and then the given 0.2; whole numbers, which can't be averaged, are the last ones."""
    current, averaged = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    expected = {"weight": 1.0, "running_mean": 0.0}
    for step, decay in enumerate((1 / 10, 2 / 11, 0.2, 0.2)):
        values = {"weight": 3.0 + step, "running_mean": -2.0 * step}
        with torch.no_grad():
            for name, value in values.items():
                getattr(current, name).fill_(value)
                expected[name] = decay * expected[name] + (1 - decay) * value
            current.num_batches_tracked.fill_(step)
        move_average(averaged, current, 0.2, step)
    for name, value in expected.items():
        assert getattr(averaged, name).item() == pytest.approx(value)
    assert averaged.num_batches_tracked == 3


def test_the_learning_rate_rises_and_goes_down_or_stays() -> None:
    rates = [learning_rate("cosine", 0.1, step, 8, 2) for step in range(8)]
    assert rates[:3] == pytest.approx([0.05, 0.1 * (1 + np.cos(np.pi / 8)) / 2, 0.1 * (1 + np.cos(np.pi / 4)) / 2])
    assert rates[4] == pytest.approx(0.05) and rates[1:] == sorted(rates[1:], reverse=True) and 0 < rates[-1] < 0.01
    assert [learning_rate("constant", 0.1, step, 8, 4) for step in (0, 1, 3, 7)] == pytest.approx(
        [0.025, 0.05, 0.1, 0.1]
    )
    assert learning_rate("constant", 0.1, 0, 8, 0) == 0.1


def test_a_training_that_was_cut_short_goes_on_to_the_same_weights_average_and_losses(tmp_path: Path) -> None:
    undisturbed, whole = Line(), tmp_path / "whole"
    whole.mkdir()
    undisturbed.train(loop := undisturbed.loop(whole, []))
    cut, messages = Line(), list[str]()
    cut.train(cut.loop(tmp_path, messages), until=8)
    resumed = Line()
    resumed.train(again := resumed.loop(tmp_path, messages))
    assert "line: resumed at step 5 of 12" in messages
    assert again.losses == loop.losses and len(loop.losses) == STEPS
    for name in ("network", "average"):
        states = [getattr(line, name).state_dict() for line in (undisturbed, resumed)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert undisturbed.schedule.get_last_lr() == resumed.schedule.get_last_lr()
    assert not torch.equal(undisturbed.average.weight, undisturbed.network.weight)


class ToldToEndError(Exception):
    """What a handler makes of a signal, as Dagster's does."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_that_is_told_to_end_saves_its_step_first_and_repeats_none(tmp_path: Path, number: int) -> None:
    """The signal comes amid step 7, where weights and counted steps don't match."""
    undisturbed, whole = Line(), tmp_path / "whole"
    whole.mkdir()
    undisturbed.train(loop := undisturbed.loop(whole, []))
    told, resumed, messages, taken = Line(), Line(), list[str](), list[int]()

    def end(*_: object) -> None:
        raise ToldToEndError

    def train(line: Line, end_in: int) -> TrainingLoop:
        loop = line.loop(tmp_path, messages)
        for step in loop:
            taken.append(step)
            if step == end_in:
                signal.raise_signal(number)
            loop.descend(line.optimizer, line.loss(step))
        return loop

    before = signal.signal(number, end)
    try:
        with pytest.raises(ToldToEndError):
            train(told, end_in=7)
        assert signal.getsignal(number) is end
        assert [file.name for file in tmp_path.glob("*.pt")] == ["checkpoint-0000008.pt"]
        again = train(resumed, end_in=-1)
    finally:
        signal.signal(number, before)
    assert taken == list(range(STEPS)) and again.losses == loop.losses
    assert messages == ["line: told to end; saved step 8 of 12", "line: resumed at step 8 of 12"]
    for name in ("network", "average"):
        states = [getattr(line, name).state_dict() for line in (undisturbed, resumed)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_signal_that_is_ignored_ends_no_training(tmp_path: Path) -> None:
    line = Line()
    loop = line.loop(tmp_path, [])
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        for step in loop:
            signal.raise_signal(signal.SIGTERM)
            loop.descend(line.optimizer, line.loss(step))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert loop.step == STEPS


def test_the_average_gets_the_number_of_each_step(tmp_path: Path) -> None:
    line, numbers = Line(), list[int]()
    line.move_average = numbers.append  # type: ignore[method-assign, assignment]
    line.train(line.loop(tmp_path, []))
    assert numbers == list(range(STEPS))


def test_the_last_checkpoints_are_kept_until_they_are_removed(tmp_path: Path) -> None:
    line = Line()
    (tmp_path / "checkpoint-0000001.pt.77.partial").touch()  # of an attempt that was killed while it wrote
    line.train(line.loop(tmp_path, [], keep=2))
    assert sorted(file.name for file in tmp_path.glob("*.pt")) == ["checkpoint-0000010.pt", "checkpoint-0000012.pt"]
    remove_checkpoints(tmp_path)
    assert not list(tmp_path.iterdir())


def test_reports_come_at_their_interval_and_after_the_last_step(tmp_path: Path) -> None:
    line, messages = Line(), list[str]()
    line.train(loop := line.loop(tmp_path, messages))
    assert [message.split(",")[0] for message in messages] == [f"line: step {step} of 12" for step in (5, 10, 12)]
    assert all("steps/s, about" in message and message.endswith("min left") for message in messages)
    assert f"loss {sum(loop.losses) / STEPS:.4f}" in messages[-1]


def test_another_job_is_refused(tmp_path: Path) -> None:
    line = Line()
    line.train(line.loop(tmp_path, []))
    with pytest.raises(ValueError, match="belongs to a training with other settings; remove it"):
        Line().loop(tmp_path, [], job="another")


def test_a_loss_that_is_not_finite_stops_before_it_is_saved_over_what_was_good(tmp_path: Path) -> None:
    line = Line()
    loop = line.loop(tmp_path, [])
    for step in loop:
        loop.descend(line.optimizer, line.loss(step) * (float("nan") if step == 7 else 1))
        if loop.step == 5:
            loop.save()
        if loop.step == 9:
            break
    with pytest.raises(FloatingPointError, match="line: loss not finite at step 9; lower the rate"):
        loop.save()
    assert [file.name for file in tmp_path.glob("*.pt")] == ["checkpoint-0000005.pt"]


def test_losses_are_written_from_step_one(tmp_path: Path) -> None:
    write_losses(tmp_path / "history.csv", [0.5, 0.25])
    assert (tmp_path / "history.csv").read_text().split() == ["step,loss", "1,0.5", "2,0.25"]
