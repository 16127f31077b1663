"""A tiny study through the real graph: seconds instead of minutes, the same code."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.cli.main import app
from firefusion_assets.lineage.fingerprints import Lineage

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]

TINY_STUDY = """
name: tiny
dataset: {source: simulated, scenes: 6, patches_per_scene: 4, patch_size: 32, fire_share: 0.5, seed: 3}
training: {bands: [B7, B6, B2], filters: 2, steps: 6, batch_size: 4, validate_every: 2, seeds: [1, 2]}
"""
TINY_CONFIGS = {
    "baseline": "generator: {engine: none}",
    "copy-paste": """
generator: {engine: copy-paste}
sampling: {images: 6, batch_size: 4}
screening: {detectors: [murphy], min_detected: 0}
""",
    "native": """
extends: copy-paste
generator: {engine: native, crop: 16, steps: 6, batch_size: 2, channels: [8, 16], checkpoint_every: 2}
sampling: {steps: 2}
screening: {min_changed: 0}
""",
}

LoadDefinitions = Callable[[Path], dg.Definitions]


def lineage_of(study: Path, artifacts: Path | None = None) -> Lineage:
    """Return the objects of a study as they are now."""
    return Lineage(study, ArtifactStore(artifacts or study / "artifacts"))


def write_study(folder: Path, study: str = TINY_STUDY, configs: dict[str, str] | None = None) -> Path:
    """Write a study folder."""
    (folder / "augmentations").mkdir(parents=True)
    (folder / "study.yaml").write_text(study)
    for key, text in (configs or TINY_CONFIGS).items():
        (folder / "augmentations" / f"{key}.yaml").write_text(text)
    return folder


@pytest.fixture
def load_definitions(monkeypatch: pytest.MonkeyPatch) -> LoadDefinitions:
    """Load the code location anew for a study, as a new process would."""
    return lambda study: loaded(study, monkeypatch)


def loaded(study: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """Return the definitions of a study; what is imported for them is forgotten with the patch."""
    monkeypatch.setenv("FIREFUSION_STUDY", str(study))
    monkeypatch.setenv("FIREFUSION_EXECUTOR", "in_process")
    monkeypatch.delenv("FIREFUSION_ARTIFACTS", raising=False)
    layer = ("definitions",)
    for name in [*sys.modules]:
        if name.startswith(tuple(f"firefusion_assets.{part}" for part in layer)):
            monkeypatch.delitem(sys.modules, name)
    defs: dg.Definitions = importlib.import_module("firefusion_assets.definitions").defs
    return defs


def materialize(defs: dg.Definitions, key: str, **options: object) -> dg.ExecuteInProcessResult:
    """Run the whole lineage for one key in this process."""
    job = lineage_job(defs)
    return job.execute_in_process(partition_key=key, instance=dg.DagsterInstance.ephemeral(), **options)  # type: ignore[arg-type]


def lineage_job(defs: dg.Definitions) -> dg.JobDefinition:
    """Return the job over all assets of the one study of a code location."""
    (name,) = (job.name for job in defs.jobs or () if job.name.endswith("_lineage"))
    return defs.resolve_job_def(name)


def asset_key(asset: str, study: str = "tiny") -> dg.AssetKey:
    """Return the key of a study's asset."""
    return dg.AssetKey([study, asset])


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
