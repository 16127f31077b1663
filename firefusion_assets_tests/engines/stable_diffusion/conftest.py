"""A tiny base model, and one thread of the CPU on any machine, so that bytes are the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from firefusion_assets_tests.builders.pipelines import FAMILIES, save_tiny_models, save_tiny_pipeline


@pytest.fixture(scope="module", autouse=True)
def _one_thread_of_the_cpu() -> Iterator[None]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setattr(torch.cuda, "device_count", lambda: 0)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")  # for the processes that a test starts
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings that name tiny models of each family."""
    return save_tiny_models(tmp_path_factory.mktemp("models"), request.param)
