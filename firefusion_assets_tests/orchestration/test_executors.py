"""What each executor makes of the resources of steps, by its own functions."""

from json import dumps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan

from firefusion_assets.core.errors import RequestError
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.orchestration import executors
from firefusion_assets.orchestration.code_location import build_defs
from firefusion_assets.orchestration.executors import executor
from firefusion_assets.study.resources import Resources, StepResources
from firefusion_assets_tests.builders.studies import (
    TINY_STUDY,
    LoadDefinitions,
    lineage_job,
    lineage_of,
    write_study,
)

PACKAGES = {"celery": "dagster_celery", "k8s": "dagster_k8s", "ray": "dagster_ray"}
BROKER = "redis://:secret-4711@127.0.0.1:1/0"
OVERRIDDEN = "resources: {trained_unet: {cores: 8, gpus: 2, memory_gb: 0.5}, dice_metrics: {gpus: 0}}\n"
ASKED = {name: Resources().of(name) for name in (*ASSETS, "fire_map")} | {
    "trained_unet": StepResources(cores=8, memory_gb=0.5, gpus=2),
    "dice_metrics": StepResources(cores=4, memory_gb=16, gpus=0),
}
Tags = dict[str, dict[str, str]]


@pytest.fixture(params=[1, 4])
def step_tags(
    request: pytest.FixtureRequest, tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> Tags:
    """The tags that executors get with the steps that make something, with one step an asset and with several."""
    monkeypatch.setenv("FIREFUSION_FANOUT", str(request.param))
    defs = load_definitions(write_study(tmp_path / "study", TINY_STUDY + OVERRIDDEN))
    maps = {"ops": {"map_fires": {"config": {"model": "native", "scenes": []}}}}
    plans = [
        create_execution_plan(lineage_job(defs)),
        create_execution_plan(defs.resolve_job_def("tiny_fire_map"), run_config=maps),
    ]
    tags = {step.key: dict(step.tags) for plan in plans for step in plan.step_dict.values()}
    planning = [key for key in tags if key.endswith(".plan")]
    assert len(planning) == (4 if request.param > 1 else 0)
    assert not any("config" in name or "queue" in name for key in planning for name in tags[key])
    return {key: tags[key] for key in tags if key not in planning}


def asked(step: str) -> StepResources:
    """Return what a step asks for."""
    return ASKED["fire_map" if step == "map_fires" else step.partition(".")[0].removeprefix("tiny__")]


def test_the_table_holds_each_asset_and_the_job_of_maps() -> None:
    assert {*Resources.model_fields} == {*ASSETS, "fire_map"}


@pytest.mark.parametrize("name", ["in_process", "multiprocess", *PACKAGES])
def test_definitions_load_under_each_executor(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"needs the extra {name}")
    monkeypatch.setenv("FIREFUSION_EXECUTOR", name)
    monkeypatch.setenv("FIREFUSION_CELERY_BROKER", BROKER)
    defs = build_defs(lineage_of(write_study(tmp_path / "study")))
    assert isinstance(defs.executor, dg.ExecutorDefinition) and defs.executor.name == name
    dg.Definitions.validate_loadable(defs)


@pytest.mark.parametrize("name", PACKAGES)
def test_an_extra_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREFUSION_EXECUTOR", name)
    monkeypatch.setattr(executors, "find_spec", lambda package: None)
    with pytest.raises(RequestError, match=rf"{name} isn't installed; pip install 'firefusion-assets\[{name}\]'$"):
        executor(Resources())


def test_slurm_is_served_by_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREFUSION_EXECUTOR", "slurm")
    with pytest.raises(RequestError, match=r"^FIREFUSION_EXECUTOR: Slurm .*deploy/slurm/submit.sh$"):
        executor(Resources())


def test_the_password_of_celerys_redis_is_in_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    celery = pytest.importorskip("dagster_celery", reason="needs the extra celery")
    given = []
    monkeypatch.setattr(celery, "celery_executor", SimpleNamespace(configured=given.append))
    monkeypatch.setenv("FIREFUSION_EXECUTOR", "celery")
    monkeypatch.setenv("FIREFUSION_CELERY_BROKER", BROKER)
    executor(Resources())
    named = {"env": "FIREFUSION_CELERY_BROKER"}
    assert given == [{"broker": named, "backend": named}]


@pytest.mark.parametrize("address", [None, "", "pyamqp://guest@localhost//"])
def test_celery_asks_for_a_redis(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_celery", reason="needs the extra celery")
    monkeypatch.setenv("FIREFUSION_EXECUTOR", "celery")
    monkeypatch.delenv("FIREFUSION_CELERY_BROKER", raising=False)
    if address is not None:
        monkeypatch.setenv("FIREFUSION_CELERY_BROKER", address)
    with pytest.raises(RequestError, match=r"^FIREFUSION_CELERY_BROKER: names no Redis; .* redis://HOST:6379/0$"):
        executor(Resources())


def test_celery_gives_gpu_steps_to_workers_that_have_one(step_tags: Tags) -> None:
    celery = pytest.importorskip("dagster_celery.tags", reason="needs the extra celery")
    queues = {step: tags.get(celery.DAGSTER_CELERY_QUEUE_TAG, "dagster") for step, tags in step_tags.items()}
    assert queues == {step: "gpu" if asked(step).gpus else "dagster" for step in step_tags}


def test_pods_ask_for_what_steps_ask_for_and_are_valid(step_tags: Tags) -> None:
    pytest.importorskip("dagster_k8s", reason="needs the extra k8s")
    validation = pytest.importorskip("kubernetes_validate")
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job, get_user_defined_k8s_config
    from kubernetes.client import ApiClient

    # As `deploy/helm/values.yaml` has it for all pods.
    launched = {"container_config": {"resources": {"requests": {"cpu": "1", "memory": "4Gi"}}}}
    of_launcher = K8sContainerContext(
        run_k8s_config=get_user_defined_k8s_config({"dagster-k8s/config": dumps(launched)})
    )
    for step, tags in step_tags.items():
        context = of_launcher.merge(K8sContainerContext(run_k8s_config=get_user_defined_k8s_config(tags)))
        job = construct_dagster_k8s_job(
            DagsterK8sJobConfig("image", "/opt/dagster"), ["dagster"], "job", context.run_k8s_config
        )
        spec: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
        validation.validate(spec, validation.latest_version(), strict=True)
        pod = spec["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        want = asked(step)
        for kind in ("requests", "limits"):
            found = container["resources"][kind]
            assert found["cpu"] == str(want.cores) and float(found["memory"].removesuffix("M")) == want.memory_gb * 1000
            assert found.get("nvidia.com/gpu", "0") == str(want.gpus)
        assert bool(pod.get("tolerations")) == bool(want.gpus)


def test_ray_reserves_what_steps_ask_for(step_tags: Tags) -> None:
    ray = pytest.importorskip("dagster_ray.configs", reason="needs the extra ray")
    for step, tags in step_tags.items():
        reserved, want = ray.RayExecutionConfig.from_tags(tags), asked(step)
        assert (reserved.num_cpus, reserved.num_gpus or 0) == (want.cores, want.gpus)
        assert reserved.memory == want.memory_gb * 10**9
