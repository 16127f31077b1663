"""The code location: light to load, on stable API, and shaped as agreed."""

import os
import subprocess
import sys
import textwrap
import warnings
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets_tests.builders.studies import REPOSITORY, LoadDefinitions, write_study

GPU_ASSETS = {"finetuned_model", "synthetic_images", "trained_unet", "dice_metrics"}
UNPARTITIONED = {"landsat_patches", "scene_split", "augmentation_report"}


def test_loading_imports_nothing_heavy() -> None:
    script = (
        "import sys, firefusion_assets.definitions; "
        "print([m for m in ('torch', 'diffusers', 'transformers', 'rasterio', 'matplotlib', 'pandas', 'scipy') "
        "if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert output.stdout.strip() == "[]"


def test_planning_imports_no_torch() -> None:
    script = "import sys, firefusion_assets.steps.augmenting; print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert output.stdout.strip() == "False"


def test_definitions_load_on_stable_api_only(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        defs = load_definitions(write_study(tmp_path / "study"))
        dg.Definitions.validate_loadable(defs)


def test_the_graph_is_the_agreed_one(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    graph = load_definitions(write_study(tmp_path / "study")).resolve_asset_graph()
    assert {node.key.path[0] for node in graph.asset_nodes} == {"tiny"}
    nodes = {node.key.path[-1]: node for node in graph.asset_nodes}
    assert {name: {parent.path[-1] for parent in node.parent_keys} for name, node in nodes.items()} == {
        name: set(asset.upstream) for name, asset in ASSETS.items()
    }
    for name, node in nodes.items():
        assert (node.partitions_def is None) == (name in UNPARTITIONED), name
        assert (node.pools == {"gpu"}) == (name in GPU_ASSETS), name
        assert node.description and node.kinds and node.group_name != "default", name
        if node.partitions_def is not None:
            assert node.partitions_def.get_partition_keys() == ["baseline", "copy-paste", "native"]
            assert node.backfill_policy is None


def test_the_schedule_runs_every_config_and_is_off(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    defs = load_definitions(write_study(tmp_path / "study"))
    schedule = defs.resolve_schedule_def("tiny_weekly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 1, 5, 3, tzinfo=UTC),
        repository_def=defs.get_repository_def(),
    )
    data = schedule.evaluate_tick(context)
    requests = data.run_requests or []
    assert [request.partition_key for request in requests] == ["baseline", "copy-paste", "native"]
    assert len({request.run_key for request in requests}) == 3


@pytest.mark.slow
def test_wrong_environments_are_named(tmp_path: Path) -> None:
    study = str(write_study(tmp_path / "s"))
    for settings, expected in (
        (
            {"FIREFUSION_STUDY": str(tmp_path / "nowhere")},
            "there is no such study folder; name one",
        ),
        (
            {"FIREFUSION_STUDY": study, "FIREFUSION_EXECUTOR": "abacus"},
            "FIREFUSION_EXECUTOR: 'abacus' is unknown; known are in_process, multiprocess, celery, k8s, ray",
        ),
    ):
        command = [sys.executable, "-c", "import firefusion_assets.definitions"]
        output = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert output.returncode != 0
        assert expected in output.stderr


@pytest.mark.slow
def test_two_steps_get_two_gpus(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, sys, time
        from firefusion_assets.core.gpu_leases import leased_gpus
        with leased_gpus(1):
            print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
            time.sleep(2)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
        """
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "0,1", "TMPDIR": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert sorted(outputs) == ["0", "1"]
    assert [process.returncode for process in processes] == [0, 0]
