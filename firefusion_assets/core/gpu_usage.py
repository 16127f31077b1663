"""What this process and its children have used of GPUs, as `getrusage` tells it of processors and memory."""

import sys
from typing import Final, NamedTuple


class GpuUsage(NamedTuple):
    """What a piece of work used: seconds of a GPU, and peak memory in GiB."""

    seconds: float
    peak_memory_gib: float


of_children: Final[list[GpuUsage]] = []
"""What children of this process have told; whoever measures looks at what has come since."""


def own_usage(seconds: float) -> GpuUsage | None:
    """Return what this process has used in work of so many seconds; None if it has used no GPU.

    torch is looked up and not imported: what didn't need it must not pay for it here.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return GpuUsage(seconds, torch.cuda.max_memory_allocated() / 2**30)
    # Apple's backend keeps no peak; what its driver holds is never less than what is in use.
    if torch.backends.mps.is_available() and (held := torch.mps.driver_allocated_memory()):
        return GpuUsage(seconds, held / 2**30)
    return None


def told_by_child(usage: GpuUsage | None) -> None:
    """Note what a child has used, if anything."""
    if usage is not None:
        of_children.append(usage)
