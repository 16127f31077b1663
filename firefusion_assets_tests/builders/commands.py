"""Commands of the virtual environment, run as a user does."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from firefusion_assets.cli.main import app
from firefusion_assets_tests.builders.studies import REPOSITORY


def run_cli(*arguments: str, study: Path, home: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command of the virtual environment as a user would."""
    return subprocess.run(
        cli_command(*arguments), env=cli_environment(study, home), capture_output=True, text=True,
        cwd=REPOSITORY, timeout=280, **options,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


def run_cli_at_once(command: list[str], *environments: dict[str, str]) -> list[str]:
    """Start a command in each environment before any has ended; return what they wrote. None may fail."""
    runs = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY
        )
        for environment in environments
    ]
    outputs = [run.communicate(timeout=200)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), outputs
    return outputs


def cli_command(program: str, *arguments: str) -> list[str]:
    """Return a command of this virtual environment."""
    return [str(Path(sys.executable).parent / program), *arguments]


def cli_environment(study: Path, home: Path, executor: str = "in_process") -> dict[str, str]:
    """Return the environment of a user's shell."""
    home.mkdir(parents=True, exist_ok=True)
    return os.environ | {
        "FIREFUSION_STUDY": str(study),
        "FIREFUSION_EXECUTOR": executor,
        "DAGSTER_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }


def run_with_package(*arguments: str, study: Path, package: Path) -> subprocess.CompletedProcess[str]:
    """Run the command `firefusion` where a folder with another package is on the path too."""
    environment = cli_environment(study, study.parent) | {
        "PYTHONPATH": os.pathsep.join([str(package), str(REPOSITORY)])
    }
    return subprocess.run(
        cli_command("firefusion", *arguments), env=environment, cwd=study.parent,
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip


def firefusion(*arguments: str | Path, study: Path | None = None, answer: str = "") -> str:
    """Run the command `firefusion` in this process, as it ends well; return what it prints."""
    result = _invoked(arguments, study, answer)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def firefusion_refuses(*arguments: str | Path, study: Path | None = None, answer: str = "") -> str:
    """Run the command `firefusion`, which ends with an error that it tells by itself; return what it prints."""
    result = _invoked(arguments, study, answer)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), (result.output, result.exception)
    return result.output


def _invoked(arguments: tuple[str | Path, ...], study: Path | None, answer: str) -> Result:
    named = {} if study is None else {"FIREFUSION_STUDY": str(study), "FIREFUSION_ARTIFACTS": None}
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=answer, env=named)
