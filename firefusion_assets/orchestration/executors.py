"""Where steps run: the executor.

Nothing here knows what a step does.
"""

import multiprocessing
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import dagster as dg

from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.gpu_leases import local_gpus
from firefusion_assets.core.processes import end_with
from firefusion_assets.orchestration.step_options import DEVICE_TAG
from firefusion_assets.study.resources import Resources

BROKER: Final = "FIREFUSION_CELERY_BROKER"
"""Names the Redis that celery's queues and results are in; its address may hold a password."""

_PACKAGES: Final[dict[str, tuple[str, str]]] = {
    "celery": ("dagster_celery", "celery_executor"),
    "k8s": ("dagster_k8s", "k8s_job_executor"),
    "ray": ("dagster_ray", "ray_executor"),
}
"""Of executors that are extras the package and what it calls them."""


def executor(resources: Resources) -> dg.ExecutorDefinition:
    """Return the executor that FIREFUSION_EXECUTOR names, by default multiprocess.

    Args:
        resources: what steps ask for.

    Raises:
        RequestError: for another name, or for one whose extra isn't installed or set up.
    """
    name = os.environ.get("FIREFUSION_EXECUTOR", "multiprocess")
    if name == "in_process":
        return dg.in_process_executor
    if name == "multiprocess":
        return _multiprocess(resources)
    if name == "slurm":
        raise RequestError("FIREFUSION_EXECUTOR: Slurm gets a job a config instead, by deploy/slurm/submit.sh")
    if name not in _PACKAGES:
        known = ", ".join(["in_process", "multiprocess", *_PACKAGES])
        raise RequestError(f"FIREFUSION_EXECUTOR: {name!r} is unknown; known are {known}")
    package, attribute = _PACKAGES[name]
    if find_spec(package) is None:
        raise RequestError(f"FIREFUSION_EXECUTOR: {name} isn't installed; pip install 'firefusion-assets[{name}]'")
    found: dg.ExecutorDefinition = getattr(import_module(package), attribute)
    return found.configured(_celery_settings()) if name == "celery" else found


def _multiprocess(resources: Resources) -> dg.ExecutorDefinition:
    gpu_steps = max(1, len(local_gpus()) // max(1, resources.most().gpus))
    return dg.multiprocess_executor.configured(
        {
            # Steps are heavy: a second one at most, or one a GPU; never two on a GPU, dagster.yaml or not.
            "max_concurrent": max(2, gpu_steps),
            "tag_concurrency_limits": [{"key": DEVICE_TAG, "value": "gpu", "limit": gpu_steps}],
            # Only what the code location imports anyway: nothing that touches CUDA.
            "start_method": {"forkserver": {"preload_modules": ["firefusion_assets.orchestration.code_location"]}},
        }
    )


def end_with_run(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> None:
    """End this process as soon as its run's is gone, where the executor started it for a step of that run.

    A run that is killed can't end its steps, which would go on beside those of the next run.
    """
    run = multiprocessing.parent_process()
    if run is not None and run.pid is not None and context.job_def.executor_def.name == dg.multiprocess_executor.name:
        end_with(run.pid)


def _celery_settings() -> dict[str, Any]:
    if not os.environ.get(BROKER, "").startswith(("redis://", "rediss://")):
        raise RequestError(f"{BROKER}: names no Redis; FIREFUSION_EXECUTOR=celery needs redis://HOST:6379/0")
    # By its name, since runs keep their configuration.
    return {"broker": {"env": BROKER}, "backend": {"env": BROKER}}
