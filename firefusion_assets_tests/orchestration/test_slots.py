"""A pool's slot that a dead run holds is freed by the next run, with no daemon about; one of a living run isn't."""

import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from firefusion_assets.orchestration.running import runs_at_once
from firefusion_assets.orchestration.slots import free_slots_of_dead_runs, process_tag
from firefusion_assets_tests.builders.commands import run_cli
from firefusion_assets_tests.builders.studies import REPOSITORY, loaded, write_study

NEVER = "00000000-0000-0000-0000-000000000000"


@dg.job
def nothing() -> None:
    """A job without steps."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    return home


def tag_of_a_process_that_ended() -> dict[str, str]:
    code = "from firefusion_assets.orchestration.slots import process_tag; print(*process_tag().values())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return dict.fromkeys(process_tag(), ended.stdout.strip())


def claimed(instance: dg.DagsterInstance, tags: dict[str, str], status: dg.DagsterRunStatus) -> str:
    """Return a run of a status that holds a slot."""
    run = instance.create_run_for_job(nothing, status=status, tags=tags)
    instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "step")
    return run.run_id


def test_slots_of_the_dead_are_freed_and_those_of_the_living_kept(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 9)
        killed = claimed(instance, tag_of_a_process_that_ended(), dg.DagsterRunStatus.STARTED)
        failed = claimed(instance, process_tag(), dg.DagsterRunStatus.FAILURE)
        living = claimed(instance, process_tag(), dg.DagsterRunStatus.STARTED)
        elsewhere = claimed(instance, dict.fromkeys(process_tag(), "another-machine 1"), dg.DagsterRunStatus.STARTED)
        untold = claimed(instance, {}, dg.DagsterRunStatus.STARTED)
        instance.event_log_storage.claim_concurrency_slot("gpu", NEVER, "step")
        assert instance.event_log_storage.get_concurrency_run_ids() == {
            killed,
            failed,
            living,
            elsewhere,
            untold,
            NEVER,
        }
        free_slots_of_dead_runs(instance)
        assert instance.event_log_storage.get_concurrency_run_ids() == {living, elsewhere, untold}
        run = instance.get_run_by_id(killed)
        assert run is not None and run.status == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize(
    ("executor", "slots", "runs"), [("multiprocess", 1, 1), ("multiprocess", 3, 4), ("in_process", 3, 1)]
)
def test_one_config_more_runs_than_there_are_gpus(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, executor: str, slots: int, runs: int
) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", slots)
    loaded(write_study(tmp_path / "study"), monkeypatch)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("FIREFUSION_EXECUTOR", executor)
    monkeypatch.delitem(sys.modules, "firefusion_assets.definitions")  # it reads the executor when it is loaded
    assert runs_at_once() == runs


@pytest.mark.slow
def test_a_run_of_the_command_does_not_wait_for_a_dead_one(tmp_path: Path, home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 1)
        instance.event_log_storage.claim_concurrency_slot("gpu", NEVER, "step")
    done = run_cli(
        "firefusion", "run", "baseline", "--to", "finetuned_model", study=write_study(tmp_path / "study"), home=home
    )
    assert done.returncode == 0, done.stderr
