"""One thread, so that tests don't fight for cores; and a torchvision that was built for another torch."""

from importlib import import_module

import pytest
import torch

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def torchvision_imports() -> None:
    """Let torchvision be imported where its binaries don't fit torch (a CUDA build beside a CPU torch).

    Its compiled operators aren't needed here, but its import fails unless these two are at least declared.
    """
    try:
        import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", _NMS)
