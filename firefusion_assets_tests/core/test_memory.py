"""What becomes of work that a device's memory can't hold."""

import pytest
import torch

from firefusion_assets.core.memory import DeviceMemoryError, Parts, device_memory


class Device:
    """Holds few examples; adds up those that it was given."""

    def __init__(self, limit: int, error: RuntimeError) -> None:
        self.limit, self.error = limit, error
        self.given: list[list[slice]] = []

    def add_up(self, parts: list[slice]) -> int:
        self.given.append(parts)
        total = 0
        for part in parts:
            some = range(7)[part]
            if len(some) > self.limit:
                raise self.error
            total += sum(some)
        return total


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no room"), RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")]
)
def test_work_is_done_anew_in_halves_until_they_fit_and_stays_so(error: RuntimeError) -> None:
    told: list[str] = []
    device, parts = Device(2, error), Parts("buy one", told.append)
    assert parts.facts == {} and parts.work(2, device.add_up) == 1 and not told
    assert parts.work(7, device.add_up) == sum(range(7))
    assert [len(range(7)[part]) for part in device.given[-1]] == [2, 2, 2, 1]
    assert (
        len(told) == 2 and "7 examples at once; going on with 4" in told[0] and parts.facts == {"examples_at_once": 2}
    )
    tries = len(device.given)
    assert parts.work(7, device.add_up) == sum(range(7)) and len(device.given) == tries + 1


def test_a_single_example_that_does_not_fit_ends_with_the_remedy() -> None:
    parts = Parts("make the crop smaller", lambda line: None)
    with pytest.raises(DeviceMemoryError, match="make the crop smaller"):
        parts.work(3, Device(0, torch.OutOfMemoryError("no room")).add_up)


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="sizes differ") as raised, device_memory("lower it"):
        raise RuntimeError("sizes differ")
    assert raised.type is RuntimeError
