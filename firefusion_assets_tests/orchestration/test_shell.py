"""What a user does in a shell: materialize, dg launch, mistakes, two runs at once, kill -9 and again."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from firefusion_assets_tests.builders.commands import (
    cli_command,
    cli_environment,
    firefusion_refuses,
    run_cli,
    run_cli_at_once,
)
from firefusion_assets_tests.builders.killing import killed_when
from firefusion_assets_tests.builders.slow_study import SLOWER, SLOWER_STUDY
from firefusion_assets_tests.builders.studies import (
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow

MATERIALIZE = ("dagster", "asset", "materialize", "-m", "firefusion_assets.definitions")


def test_dg_launch_runs_the_lineage_for_one_key(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    done = run_cli("dg", "launch", "--assets", "*", "--partition", "baseline", study=study, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr[-3000:]
    table = run_cli("python", "-m", "firefusion_assets.cli", "report", study=study, home=tmp_path / "home")
    assert "baseline" in table.stdout and "report.html" in table.stdout


def test_mistakes_have_one_clear_outcome(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    home = tmp_path / "home"
    unknown = run_cli(*MATERIALIZE, "--select", "*", "--partition", "nobody", study=study, home=home)
    assert unknown.returncode != 0 and "nobody" in unknown.stdout + unknown.stderr
    nowhere = run_cli(*MATERIALIZE, "--select", "*", study=tmp_path / "nowhere", home=home)
    assert nowhere.returncode != 0 and "no such study folder; name one" in nowhere.stderr
    empty = write_study(
        tmp_path / "empty",
        "name: e\ndataset: {source: activefire, images: i, masks: m}\ntraining: {bands: [B7]}",
    )
    failed = run_cli(*MATERIALIZE, "--select", "e/landsat_patches", study=empty, home=home)
    for folder in ("i", "m"):
        assert f"{empty / folder}: there is no such folder or zip" in failed.stdout + failed.stderr
        (empty / folder).mkdir()
    failed = run_cli(*MATERIALIZE, "--select", "e/landsat_patches", study=empty, home=home)
    assert failed.returncode != 0 and "holds no .tif" in failed.stdout + failed.stderr
    assert "has no report yet" in firefusion_refuses("report", study=study)


def test_two_runs_that_start_the_same_assets_at_once_both_succeed(tmp_path: Path) -> None:
    study, home = write_study(tmp_path / "study"), tmp_path / "home"
    environment = cli_environment(study, home)
    run_cli("dagster", "instance", "info", study=study, home=home)  # SQLite is set up once, not by two at a time
    command = cli_command(*MATERIALIZE, "--select", "tiny/landsat_patches,tiny/scene_split")
    outputs = run_cli_at_once(command, environment, environment)
    assert sum("simulated scene 6 of 6" in output for output in outputs) == 1
    assert len(list((study / "artifacts" / "landsat_patches").glob("*/manifest.json"))) == 1


def equal_content(folder: Path) -> dict[str, str]:
    """Hash what equal artifacts have in common: tables, weights, arrays; not costs, locks and pictures."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            content = pd.read_parquet(path).to_json().encode()
        elif path.suffix in (".safetensors", ".npy", ".csv"):
            content = path.read_bytes()
        else:
            continue
        hashes[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return hashes


@pytest.mark.faults
@pytest.mark.usefixtures("all_cores")  # then networks are trained in processes of their own, which have to end too
def test_kill_9_in_each_long_step_and_the_same_command_again(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "killed" / "study", SLOWER_STUDY, SLOWER)
    undisturbed = write_study(tmp_path / "whole" / "study", SLOWER_STUDY, SLOWER)
    command = cli_command(*MATERIALIZE, "--select", "*", "--partition", "native")
    environment = cli_environment(study, tmp_path / "home")
    artifacts = study / "artifacts"

    def found(pattern: str) -> Callable[[], bool]:
        return lambda: any(artifacts.glob(pattern))

    killed_when(found("fitted_models/.work/*/fold-0/checkpoint-*.pt"), command, environment)
    assert not list(artifacts.glob("finetuned_model/*/manifest.json"))
    killed_when(found("painted_chunks/*/manifest.json"), command, environment)
    assert not list(artifacts.glob("synthetic_images/*/manifest.json"))
    painted = {path: path.stat().st_mtime_ns for path in artifacts.glob("painted_chunks/*/manifest.json")}
    killed_when(found("trained_networks/.work/*/fold-0/replicate-*/checkpoint-*.pt"), command, environment)
    assert not list(artifacts.glob("trained_unet/*/manifest.json"))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in painted.items())

    last = run_cli(*MATERIALIZE, "--select", "*", "--partition", "native", study=study, home=tmp_path / "home")
    assert last.returncode == 0, last.stderr[-3000:]
    assert materialize(load_definitions(undisturbed), "native").success
    for asset in ("finetuned_model", "synthetic_images", "screened_images", "trained_unet", "dice_metrics"):
        one, other = (lineage_of(folder).find(asset, "native") for folder in (study, undisturbed))
        assert one.fingerprint == other.fingerprint
        assert equal_content(one.path) == equal_content(other.path), asset
        assert equal_content(one.path)
