"""What an object cost to make: time and memory of this process, and of the GPU where there is one."""

import resource
import sys
import time
from collections.abc import Mapping


class CostMeter:
    """Measures from its making until it is read."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._before: list[Mapping[str, float]] = []

    def add(self, cost: Mapping[str, float]) -> None:
        """Count what was made before, for the same object, at this cost."""
        self._before.append(cost)

    def read(self) -> dict[str, float]:
        """Return seconds and peak memory in GiB; with a GPU in use also its seconds and peak memory.

        Children of this process count where they have ended.
        """
        seconds = time.monotonic() - self._start
        kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cost = {"seconds": round(seconds, 2), "peak_memory_gib": round(kib / 2**20, 3)}
        # torch is looked up and not imported: a step that didn't need it must not pay for it here.
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            cost["gpu_seconds"] = round(seconds, 2)
            cost["peak_gpu_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
        for before in self._before:
            for name, value in before.items():
                of_both = max if name.startswith("peak_") else sum
                cost[name] = round(of_both((cost.get(name, 0.0), value)), 3)
        return cost
