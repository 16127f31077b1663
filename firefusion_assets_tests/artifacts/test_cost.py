"""What an object costs, children counted."""

import pytest

from firefusion_assets.artifacts.cost import CostMeter
from firefusion_assets.core import workers
from firefusion_assets.core.gpu_usage import GpuUsage
from firefusion_assets.core.workers import Progress, Workers


def on_a_gpu(slot: int) -> workers.Work[float, float]:
    """Get ready to work as if on a GPU, of which this much is used."""

    def work(gib: float, progress: Progress) -> float:
        workers.own_usage = lambda seconds: GpuUsage(100.0, gib)  # type: ignore[assignment]
        return gib

    return work


@pytest.mark.slow
def test_what_children_use_of_gpus_is_counted_once() -> None:
    outer = CostMeter()
    with Workers(2, on_a_gpu, str, print) as pool:
        assert sorted(pool.as_done([1.5, 3.25])) == [1.5, 3.25]
    inner = CostMeter()
    cost = outer.read()
    assert (cost["gpu_seconds"], cost["peak_gpu_memory_gib"]) == (200, 3.25)
    assert "gpu_seconds" not in inner.read(), "it began later"
