"""What a step asks for, said to each executor: pool and op tags from the study's table of resources.

Each executor reads its own tag and leaves the others alone.
"""

from typing import Any, Final

from firefusion_assets.study.resources import StepResources

GPU_POOL: Final = "gpu"
"""Pool of all steps that use a GPU; its limit is the number of GPUs (dagster.yaml)."""

GPU_QUEUE: Final = "gpu"
"""Queue of celery's workers that have a GPU."""

DEVICE_TAG: Final = "firefusion/device"
"""What multiprocess limits GPU steps by."""


def step_options(resources: StepResources) -> dict[str, Any]:
    """Return `pool` and `tags` of an op that asks for so much; without a GPU it has no pool."""
    tags: dict[str, Any] = {"dagster-k8s/config": _pod(resources), "dagster-ray/config": _ray_job(resources)}
    if not resources.gpus:
        return {"pool": None, "tags": tags}
    return {"pool": GPU_POOL, "tags": {DEVICE_TAG: "gpu", "dagster-celery/queue": GPU_QUEUE} | tags}


def _pod(resources: StepResources) -> dict[str, Any]:
    """Return what dagster-k8s adds to the pod of a step."""
    asked = {"cpu": str(resources.cores), "memory": f"{resources.memory_gb * 1000:.0f}M"}
    if not resources.gpus:
        return {"container_config": {"resources": {"requests": asked, "limits": asked}}}
    asked |= {"nvidia.com/gpu": str(resources.gpus)}
    return {
        "container_config": {"resources": {"requests": asked, "limits": asked}},
        "pod_spec_config": {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    }


def _ray_job(resources: StepResources) -> dict[str, Any]:
    """Return what dagster-ray reserves for the job of a step; memory in bytes."""
    reserved = {"num_cpus": resources.cores, "memory": round(resources.memory_gb * 1e9)}
    return reserved | ({"num_gpus": resources.gpus} if resources.gpus else {})
