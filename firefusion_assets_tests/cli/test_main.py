"""The command as such: quick to answer, each error told once, names that exist nowhere told with those that do."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firefusion_assets.cli import show
from firefusion_assets.cli.main import app
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.studies import REPOSITORY, write_study

COMMANDS = [str(command.name) for command in app.registered_commands]
HEAVY = ("dagster", "torch", "pandas", "numpy", "diffusers", "transformers", "rasterio", "matplotlib", "pydantic")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    assert f"Usage: firefusion {command}" in " ".join(firefusion(command, "--help").split())


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from firefusion_assets.cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, "--help"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    assert "run" in output and output.splitlines()[-1] == "[]"


def test_the_study_is_named_by_option_before_environment(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_study(tmp_path / name, configs={f"only-{name}": "generator: {engine: none}"})
    assert "only-one" in firefusion("status", study=tmp_path / "one")
    assert "only-other" in firefusion("status", "--study", tmp_path / "other", study=tmp_path / "one")


def test_a_study_that_is_not_there_is_told_by_every_command_that_reads_one(tmp_path: Path) -> None:
    for arguments in (
        ("run", "any"), ("status",), ("check",), ("prune",), ("export", "any", "out"), ("handout", "any", "out"),
        ("fine-tune", "any", "out"), ("similarity", "any"),
    ):  # fmt: skip
        refusal = firefusion_refuses(*arguments, study=tmp_path / "nowhere")
        assert refusal.count("there is no such study folder; name one") == 1, arguments


def test_an_unknown_or_missing_key_lists_the_keys(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    assert firefusion_refuses("run", study=study) == (
        "Name a config, or several. There are: baseline, copy-paste, native\n"
    )
    assert firefusion_refuses("run", "nativ", study=study) == (
        "There is no config 'nativ'; did you mean native? There are: baseline, copy-paste, native\n"
    )
    assert "There is no config 'x'. There are: baseline" in firefusion_refuses("run", "native", "x", study=study)
    refusal = firefusion_refuses("run", "native", "--to", "dice_metric", study=study)
    assert "There is no asset 'dice_metric'; did you mean dice_metrics?" in refusal


def test_wrong_configs_are_told_together_before_a_run(tmp_path: Path) -> None:
    configs = {"a": "generator: {engine: nothing}", "b": "samplin: {images: 3}"}
    refusal = firefusion_refuses("run", "a", "b", study=write_study(tmp_path / "study", configs=configs))
    assert "a.yaml:1: generator" in refusal and "b.yaml:1: samplin: unknown key; did you mean sampling?" in refusal


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "_COLOURS", None)
    monkeypatch.setenv("FIREFUSION_STUDY", str(REPOSITORY / "data" / "demo"))
    result = CliRunner().invoke(app, ["status"])
    assert isinstance(result.exception, TypeError)
