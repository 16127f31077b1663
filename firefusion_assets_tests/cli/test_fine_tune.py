"""A fine-tuning without Dagster: prepared by the command, and run by what the command prints."""

import os
import subprocess
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.commands import cli_command, firefusion, firefusion_refuses
from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline
from firefusion_assets_tests.builders.studies import REPOSITORY, LoadDefinitions, materialize, write_study

CONFIGS = {
    "wildfire": """
generator: {engine: stable-diffusion, base_model: ./base, crop: 16, resolution: 64, max_train_steps: 2}
sampling: {images: 1}
""",
    "native": "generator: {engine: native, crop: 16}\nsampling: {images: 1}",
}


@pytest.mark.slow
def test_a_prepared_job_is_run_by_the_printed_command(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study, work = write_study(tmp_path / "study", configs=CONFIGS), tmp_path / "fine-tuning"
    save_tiny_pipeline(study / "base")
    refusal = firefusion_refuses("fine-tune", "wildfire", work, study=study)
    assert refusal.endswith("firefusion run --to scene_split\n")
    assert materialize(load_definitions(study), "wildfire", to="scene_split").success
    for arguments, reason in (
        (("native", work), "'native' has engine native, which has no trainer of its own"),
        (("wildfire", work, "--fold", "1"), "--fold: there is no fold 1; the study has 0"),
        (("wildfire", study), "is there already; name a new folder"),
    ):
        assert reason in firefusion_refuses("fine-tune", *arguments, study=study)
    assert not work.exists()

    command = firefusion("fine-tune", "wildfire", work, study=study).split()
    assert command[:2] == ["accelerate", "launch"] and command[-1] == str(work / "job.json")
    trained = subprocess.run(
        cli_command("accelerate", "launch", "--cpu", "--num_processes", "1", *command[2:]),
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, cwd=tmp_path, timeout=200,
        check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr[-3000:]
    assert "step 2 of 2" in trained.stdout
    assert (work / "model_index.json").is_file() and len((work / "history.csv").read_text().splitlines()) == 3
