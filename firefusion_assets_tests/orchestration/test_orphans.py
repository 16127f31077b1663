"""A run that is killed takes all of its processes along: steps, workers of steps, and what started them."""

from pathlib import Path

import pytest

from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.killing import kill_and_wait, processes_of, started, wait_until
from firefusion_assets_tests.builders.slow_study import SLOWER, SLOWER_STUDY
from firefusion_assets_tests.builders.studies import write_study

pytestmark = pytest.mark.faults


@pytest.mark.usefixtures("all_cores")  # then networks are trained in processes of their own
def test_step_processes_and_their_workers_end_with_a_killed_run(tmp_path: Path) -> None:
    endless = SLOWER_STUDY.replace("steps: 80", "steps: 100000")
    study, home = write_study(tmp_path / "study", endless, SLOWER), tmp_path / "home"
    run = started(
        cli_command("firefusion", "run", "baseline", "--to", "trained_unet"),
        cli_environment(study, home, "multiprocess"),
    )
    wait_until(lambda: [*study.glob("artifacts/trained_networks/.work/*/fold-0/replicate-*/checkpoint-*.pt")], run)
    assert len(processes_of(home)) > 3
    kill_and_wait(run)
    assert not processes_of(home)
