"""A study that is moved, that can't be written, or whose clock was set back: what is finished is found, as before."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.commands import run_cli
from firefusion_assets_tests.builders.disks import read_only
from firefusion_assets_tests.builders.published import published
from firefusion_assets_tests.builders.studies import TINY_CONFIGS, LoadDefinitions, materialize, write_study

pytestmark = pytest.mark.slow

CONFIGS = {"copy-paste": TINY_CONFIGS["copy-paste"]}
ASSETS = 11


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that was run, `study`, and the instance that ran it, `home`."""
    folder = tmp_path_factory.mktemp("made")
    study = write_study(folder / "study", configs=CONFIGS)
    ran = run_cli("firefusion", "run", "copy-paste", study=study, home=folder / "home")
    assert ran.returncode == 0 and ran.stdout.count(" made in ") == ASSETS, ran.stderr
    return folder


@pytest.fixture
def study_and_home(made: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The study, moved to another place, and its instance."""
    folder = tmp_path / "elsewhere"
    shutil.move(made, folder)
    yield folder / "study", folder / "home"
    shutil.move(folder, made)


def test_a_moved_study_makes_nothing_again_and_equals_one_that_is_made_there(
    study_and_home: tuple[Path, Path], made: Path, tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    study, home = study_and_home
    again = run_cli("firefusion", "run", "copy-paste", study=study, home=home)
    assert again.returncode == 0 and again.stdout.count(" found") == ASSETS, again.stdout + again.stderr
    assert "stale" not in run_cli("firefusion", "status", study=study, home=home).stdout
    other = write_study(tmp_path / "other" / "study", configs=CONFIGS)
    assert materialize(load_definitions(other), "copy-paste").success
    assert published(study / "artifacts") == published(other / "artifacts")
    reports = [*study.glob("artifacts/augmentation_report/*/*")]
    for path in (path for path in study.glob("artifacts/[!.]*/*/**/*") if path.is_file() and path not in reports):
        assert str(made).encode() not in path.read_bytes(), path


def test_a_study_that_cannot_be_written_runs_with_its_objects_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", configs=CONFIGS)
    monkeypatch.setenv("FIREFUSION_ARTIFACTS", str(tmp_path / "objects"))
    with read_only(study):
        with pytest.raises(OSError, match="Read-only"):
            (study / "written").touch()
        ran = run_cli("firefusion", "run", "copy-paste", study=study, home=tmp_path / "home")
        assert ran.returncode == 0 and ran.stdout.count(" made in ") == ASSETS, ran.stderr
        status = run_cli("firefusion", "status", study=study, home=tmp_path / "home")
        assert status.returncode == 0 and "stale" not in status.stdout and "missing" not in status.stdout
    assert sorted(path.name for path in study.iterdir()) == ["augmentations", "study.yaml"]


def test_a_clock_that_was_set_back_makes_nothing_again(study_and_home: tuple[Path, Path]) -> None:
    """As if it was set back by three days after a first run: whatever that run left is of the future."""
    study, home = study_and_home
    for path in study.rglob("*"):
        os.utime(path, (later := time.time() + 3 * 86400, later))
    before = published(study / "artifacts")
    again = run_cli("firefusion", "run", "copy-paste", study=study, home=home)
    assert again.returncode == 0 and again.stdout.count(" found") == ASSETS, again.stdout + again.stderr
    assert published(study / "artifacts") == before
    status = run_cli("firefusion", "status", study=study, home=home).stdout
    assert "stale" not in status and "missing" not in status and "failed" not in status
