"""Where steps run: the executor, the GPU pool and tags.

Nothing here knows what a step does.
"""

import os
from typing import Any, Final

import dagster as dg

from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.gpu_leases import gpus_a_step, local_gpus

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
