"""Which local GPUs a step uses: a lock file for each, freed with the process that holds it.

Worker processes and trainers that a step starts see the GPUs that it leased, and share them by their slots
(`devices.take_device`). Nothing here imports torch, since CUDA reads CUDA_VISIBLE_DEVICES once.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from filelock import FileLock, Timeout

_GPUS: Final = Path("/proc/driver/nvidia/gpus")


def local_gpus() -> list[str]:
    """Return the indices of the NVIDIA GPUs that this process may use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [index for index in visible.split(",") if index]
    return [str(index) for index in range(len(list(_GPUS.iterdir())))] if _GPUS.is_dir() else []


def gpu_lock(gpu: str) -> Path:
    """Return the file that a step locks while it uses a local GPU."""
    return Path(gettempdir()) / f"firefusion-gpu-{gpu}.lock"


@contextmanager
def leased_gpus(wanted: int) -> Iterator[None]:
    """Hold so many local GPUs, or all of fewer; Dagster limits how many steps run, not which devices each takes.

    Works as long as the step has not used CUDA yet, since CUDA reads CUDA_VISIBLE_DEVICES once.
    """
    gpus = local_gpus()
    if wanted == 0 or len(gpus) < 2:
        yield
        return
    locks = {gpu: FileLock(gpu_lock(gpu)) for gpu in gpus}
    wanted = min(wanted, len(gpus))
    leased = list(islice((gpu for gpu, lock in locks.items() if _try(lock)), wanted))
    # In the order of the devices, so that two steps that wait never hold what the other waits for.
    if len(leased) < wanted:
        for gpu in leased:
            locks[gpu].release()
        leased = gpus[:wanted]
        for gpu in leased:
            locks[gpu].acquire()
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(leased)
    try:
        yield
    finally:
        for gpu in leased:
            locks[gpu].release()
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _try(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
