"""What `firefusion doctor` finds, and what it tells to mend."""

import shutil
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets_tests.builders.commands import firefusion
from firefusion_assets_tests.builders.studies import REPOSITORY, write_study


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh DAGSTER_HOME on a machine without a GPU."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return home


def lines_of(told: str) -> dict[str, str]:
    """The lines by what they begin with."""
    return {" ".join(line.split("  ")[0].split()): line.rstrip() for line in told.splitlines() if line}


def test_a_sound_installation_has_nothing_to_mend(tmp_path: Path, home: Path) -> None:
    told = firefusion("doctor", study=write_study(tmp_path / "study"))
    lines = lines_of(told)
    assert version("dagster") in lines["dagster"] and version("torch") in lines["torch"]
    assert str(home) in lines["DAGSTER_HOME"] and "GiB free" in lines["DAGSTER_HOME"]
    assert "limit 1, 0 slots held" in lines["pool gpu"]
    assert told.rstrip().endswith("Nothing to mend.")


def test_what_is_held_begun_or_damaged_is_told_with_the_remedy(tmp_path: Path, home: Path) -> None:
    study = write_study(tmp_path / "study")
    store = ArtifactStore(study / "artifacts")
    store.build("trained_unet", "finished", lambda work: {})
    with pytest.raises(OSError, match="gone"):
        store.build("trained_unet", "begun", lambda work: (_ for _ in ()).throw(OSError("gone")))
    (store.root / ".damaged" / "dice_metrics-1").mkdir(parents=True)
    with dg.DagsterInstance.get() as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 3)
        instance.event_log_storage.claim_concurrency_slot("gpu", "a-run-that-died", "tiny__trained_unet")
    (store.root / "trained_unet" / ".work" / "held").mkdir()
    with FileLock(store.root / "trained_unet" / ".locks" / "held"):
        told = firefusion("doctor", study=study)
    (home / "dagster.yaml").unlink()
    lines = lines_of(told)
    assert "limit 3, 1 slots held" in lines["pool gpu"]
    assert lines["pool gpu"].endswith("dagster instance concurrency set gpu 1")
    assert "tiny__trained_unet of run a-run-that-died, which is gone" in lines["held slot"]
    assert lines["held slot"].endswith("Deployment > Concurrency > free")
    assert "trained_unet/held is being made" in told and "trained_unet/finished" not in told
    assert "trained_unet/begun was begun and not finished" in told
    assert "1 objects in" in lines["damaged"]
    assert told.rstrip().endswith("4 to mend.")
    assert "missing: pool gpu has no limit" in lines_of(firefusion("doctor", study=study))["dagster.yaml"]
