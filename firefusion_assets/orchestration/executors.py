"""Where steps run: the executor, the GPU pool and tags, the lease of a local GPU.

Nothing here knows what a step does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import dagster as dg
from filelock import FileLock, Timeout

from firefusion_assets.core.errors import RequestError

GPU_POOL: Final = "gpu"
"""Pool of all steps that use a GPU; its limit is the number of GPUs (dagster.yaml)."""

GPU_OP_TAGS: Final[dict[str, Any]] = {
    # Each executor reads its own key and ignores the others.
    "firefusion/device": "gpu",  # multiprocess: tag_concurrency_limits below
    "dagster-celery/queue": "gpu",  # celery: dagster-celery worker start -q gpu
    "dagster-k8s/config": {
        "container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
        "pod_spec_config": {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    },
}
"""Op tags of all steps that use a GPU."""

_GPUS = Path("/proc/driver/nvidia/gpus")


def executor() -> dg.ExecutorDefinition:
    """Return the executor that FIREFUSION_EXECUTOR names: multiprocess (default), in_process, k8s or celery.

    Raises:
        RequestError: for another name.
    """
    name = os.environ.get("FIREFUSION_EXECUTOR", "multiprocess")
    match name:
        case "multiprocess":
            gpu_steps = max(1, len(local_gpus()) // gpus_a_step())
            return dg.multiprocess_executor.configured(
                {
                    # Steps are heavy: a second one at most, or one a GPU; never two on a GPU, dagster.yaml or not.
                    "max_concurrent": max(2, gpu_steps),
                    "tag_concurrency_limits": [{"key": "firefusion/device", "value": "gpu", "limit": gpu_steps}],
                    # Only what the code location imports anyway: nothing that touches CUDA.
                    "start_method": {
                        "forkserver": {"preload_modules": ["firefusion_assets.orchestration.code_location"]}
                    },
                }
            )
        case "in_process":
            return dg.in_process_executor
        case "k8s":
            from dagster_k8s import k8s_job_executor

            return k8s_job_executor
        case "celery":
            from dagster_celery import celery_executor

            return celery_executor
    raise RequestError(f"FIREFUSION_EXECUTOR: {name!r} is unknown; use multiprocess, in_process, k8s or celery")


def local_gpus() -> list[str]:
    """Return the indices of the NVIDIA GPUs that this process may use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [index for index in visible.split(",") if index]
    return [str(index) for index in range(len(list(_GPUS.iterdir())))] if _GPUS.is_dir() else []


def gpus_a_step() -> int:
    """Return how many local GPUs a GPU step takes: FIREFUSION_GPUS_PER_STEP, 1 by default.

    Raises:
        RequestError: if that is no number from 1.
    """
    text = os.environ.get("FIREFUSION_GPUS_PER_STEP", "1")
    if not text.isdecimal() or int(text) < 1:
        raise RequestError(f"FIREFUSION_GPUS_PER_STEP: {text!r} is no number from 1")
    return int(text)


def gpu_lock(gpu: str) -> Path:
    """Return the file that a step locks while it uses a local GPU."""
    return Path(gettempdir()) / f"firefusion-gpu-{gpu}.lock"


@contextmanager
def leased_gpus() -> Iterator[None]:
    """Hold as many local GPUs as a step takes; Dagster limits how many steps run, not which devices each takes.

    Works as long as the step has not used CUDA yet, since CUDA reads CUDA_VISIBLE_DEVICES once.
    """
    gpus = local_gpus()
    if len(gpus) < 2:
        yield
        return
    locks = {gpu: FileLock(gpu_lock(gpu)) for gpu in gpus}
    wanted = min(gpus_a_step(), len(gpus))
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
