"""How the trainings of a config share a machine: one a GPU, or on the CPU one a core.

Bytes depend on the number of threads. So that follows from all trainings of a config, whether they are finished or not,
and whichever step trains them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from firefusion_assets.core.devices import compute_device
from firefusion_assets.core.processes import usable_cores


def trainers(n_jobs: int) -> int:
    """Return how many of a config's trainings run at once: as many as there are visible GPUs, else usable cores."""
    return min(n_jobs, torch.cuda.device_count() or (usable_cores() if compute_device().type == "cpu" else 1))


@contextmanager
def share_of_cores(n_jobs: int) -> Iterator[None]:
    """Let torch use as many threads as one of a config's trainings has while as many run as may."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(max(1, usable_cores() // trainers(n_jobs)))
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
