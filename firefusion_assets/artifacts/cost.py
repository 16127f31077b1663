"""What an object cost to make: time and memory of this process and its children, of a GPU too where they used one."""

import resource
import time
from collections.abc import Mapping

from firefusion_assets.core import gpu_usage


class CostMeter:
    """Measures from its making until it is read."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._before: list[Mapping[str, float]] = []
        self._n_told = len(gpu_usage.of_children)

    def add(self, cost: Mapping[str, float]) -> None:
        """Count what was made before, for the same object, at this cost."""
        self._before.append(cost)

    def read(self) -> dict[str, float]:
        """Return seconds and peak memory in GiB; with a GPU in use also its seconds and peak memory.

        Children of this process count where they have ended, those of `Workers` and trainers with their GPUs.
        """
        seconds = time.monotonic() - self._start
        kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cost = {"seconds": round(seconds, 2), "peak_memory_gib": round(kib / 2**20, 3)}
        told, own = gpu_usage.of_children[self._n_told :], gpu_usage.own_usage(seconds)
        if used := [*told, *([] if own is None else [own])]:
            # A process that waits for its children leaves the GPU to them.
            busy = max(sum(one.seconds for one in told), 0.0 if own is None else own.seconds)
            cost["gpu_seconds"] = round(busy, 2)
            cost["peak_gpu_memory_gib"] = round(max(one.peak_memory_gib for one in used), 3)
        for before in self._before:
            for name, value in before.items():
                of_both = max if name.startswith("peak_") else sum
                cost[name] = round(of_both((cost.get(name, 0.0), value)), 3)
        return cost
