"""Where tensors live and how exactly they are multiplied."""

import pytest
import torch

from firefusion_assets.core.devices import compute_device, device_count, moved, take_device, tensor_float32
from firefusion_assets.segmentation.parallel import trainers


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(2, False, "cuda"), (0, True, "mps"), (0, False, "cpu")])
def test_work_goes_to_the_gpu_that_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert compute_device().type == expected and device_count() == max(1, cuda)
    if expected != "cpu":
        assert trainers(8) == max(1, cuda), "trainings have a GPU each, and Apple's is one"
    for slot in range(3):
        take_device(slot)
    assert chosen == ([0, 1, 0] if cuda else [])


def test_values_of_the_cpu_stay_where_they_are_without_a_gpu() -> None:
    values = torch.arange(3)
    assert moved(values, torch.device("cpu")) is values


@pytest.mark.parametrize(("allowed", "inside"), [(True, "high"), (False, "highest")])
def test_tf32_lasts_as_long_as_the_block_whatever_ends_it(allowed: bool, inside: str) -> None:
    before = torch.get_float32_matmul_precision()
    assert before == "highest"
    with pytest.raises(KeyError), tensor_float32(allowed):
        assert torch.get_float32_matmul_precision() == inside
        raise KeyError
    assert torch.get_float32_matmul_precision() == before
