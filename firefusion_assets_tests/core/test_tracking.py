"""Trackers: what is told reaches the tracker that the environment names, and no byte depends on it."""

import json
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from firefusion_assets.core import tracking
from firefusion_assets.core.tracking import Run, TrackerError, tracked, tracked_training
from firefusion_assets.core.training_loop import TrainingLoop
from firefusion_assets_tests.builders.studies import LoadDefinitions, lineage_of, materialize, write_study


def train(work: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([weight], lr=0.25)
    settings = {"label": "fold 0: ", "remedy": "none", "progress": print}
    loop = TrainingLoop(work, "job", 4, {"optimizer": optimizer}, **settings)  # type: ignore[arg-type]
    for _ in loop:
        loop.descend(optimizer, weight**2)
        loop.report(loop.mean_loss(since=loop.step - 1), {"val Dice": None if loop.step < 4 else 0.5})


def told(folder: Path) -> None:
    """Track a step that trains once and shows a picture: the losses are 1, 1/4, 1/16 and 1/64."""
    Image.new("RGB", (8, 6), "orange").save(folder / "sheet.png")
    (folder / "work").mkdir()
    with tracked(Run("study", "native", "trained_unet", str(folder / "tracking")), {"seed": 3}) as tracker:
        train(folder / "work")
        tracker.figures({"n_images": 32}, 0)
        tracker.picture("sheet", folder / "sheet.png")


LOSSES = {1: 1.0, 2: 0.25, 3: 0.0625, 4: 0.015625}


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv(tracking.TRACKER, "tensorboard")
    told(tmp_path)
    runs = {}
    for name in ("trained_unet", "trained_unet fold 0"):
        runs[name] = EventAccumulator(str(tmp_path / "tracking" / "tensorboard" / "native" / name))
        runs[name].Reload()
    assert {event.step: event.value for event in runs["trained_unet fold 0"].Scalars("loss")} == LOSSES
    assert {event.step: event.value for event in runs["trained_unet fold 0"].Scalars("val Dice")} == {4: 0.5}
    assert [event.value for event in runs["trained_unet"].Scalars("n_images")] == [32]
    (picture,) = runs["trained_unet"].Images("sheet")
    assert (picture.width, picture.height) == (8, 6)


def wandb_records(file: Path) -> bytes:
    """Return a run's records: pieces of blocks of 32 KiB (LevelDB's log format), after a header of the file."""
    data, at, pieces = file.read_bytes(), 7, []
    while at < len(data):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        length = int.from_bytes(data[at + 4 : at + 6], "little")
        pieces.append(data[at + 7 : at + 7 + length])
        at += 7 + length
    return b"".join(pieces)


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.setenv(tracking.TRACKER, "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    told(tmp_path)
    files = [*(tmp_path / "tracking").rglob("offline-run-*/*.wandb")]
    assert len(files) == 2
    until, records = time.monotonic() + 60, list[bytes]()
    while time.monotonic() < until and not all(
        any(name in one for one in records) for name in (b"val Dice", b"n_images")
    ):
        time.sleep(0.1)  # its own process writes the last lines a moment later
        records = [wandb_records(file) for file in files]
    assert sorted(b"val Dice" in record for record in records) == [False, True]
    assert sorted(b"n_images" in record for record in records) == [False, True]
    assert all(b"native" in record and b"study" in record for record in records)
    assert len(list((tmp_path / "tracking").rglob("media/images/sheet*.png"))) == 1


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.setenv(tracking.TRACKER, "mlflow")
    told(tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'tracking' / 'mlflow' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'study'")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"native trained_unet", "native trained_unet fold 0"}
    step, training = runs["native trained_unet"], runs["native trained_unet fold 0"]
    history = client.get_metric_history(training.info.run_id, "loss")
    assert {metric.step: metric.value for metric in history} == LOSSES
    assert (step.data.metrics["n_images"], step.data.tags["seed"], step.data.tags["group"]) == (32, "3", "native")
    assert [Path(found.path).name for found in client.list_artifacts(step.info.run_id)] == ["sheet"]


def test_without_a_tracker_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tracking.TRACKER, raising=False)
    told(tmp_path)
    assert not (tmp_path / "tracking").exists()
    with tracked_training("alone") as tracker:
        tracker.figures({"loss": 1}, 1)


def test_of_several_processes_of_one_training_the_first_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Run] = []
    monkeypatch.setattr(tracking, "_opened", lambda run, settings: opened.append(run) or tracked_training("none"))
    run = Run("study", "sd", "finetuned_model", str(tmp_path))
    monkeypatch.setenv(tracking._RUN, json.dumps(run))
    monkeypatch.setenv("RANK", "1")
    with tracked_training("fold 0"):
        assert opened == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tensorbored", "FIREFUSION_TRACKER: 'tensorbored' is unknown; known are tensorboard, wandb, mlflow"),
        ("absent", r"FIREFUSION_TRACKER: absent isn't installed; pip install 'firefusion-assets\[absent\]'"),
    ],
)
def test_a_tracker_that_can_not_be_used_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setitem(tracking.TRACKERS, "absent", "nowhere_at_all")
    if name != "absent":
        monkeypatch.delitem(tracking.TRACKERS, "absent")
    monkeypatch.setenv(tracking.TRACKER, name)
    with pytest.raises(TrackerError, match=expected), tracked(Run("s", "k", "a", str(tmp_path)), {}):
        pytest.fail("work began")


@pytest.mark.slow
def test_a_tracked_lineage_tells_all_it_makes_and_makes_the_same(
    tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain, told_study = (write_study(tmp_path / name) for name in ("plain", "told"))
    assert materialize(load_definitions(plain), "native", to="dice_metrics").success
    monkeypatch.setenv(tracking.TRACKER, "tensorboard")
    assert materialize(load_definitions(told_study), "native", to="dice_metrics").success

    runs = told_study / "tracking" / "tensorboard" / "native"
    names = {folder.name for folder in runs.iterdir()}
    assert {"finetuned_model", "synthetic_images", "trained_unet fold 0 replicate 0", "dice_metrics"} <= names
    training = EventAccumulator(str(runs / "trained_unet fold 0 replicate 0"))
    training.Reload()
    assert [event.step for event in training.Scalars("loss")] == [2, 4, 6]
    painted = EventAccumulator(str(runs / "synthetic_images"))
    painted.Reload()
    assert painted.Images("sheet")
    weights = [
        next(lineage_of(study).find("trained_unet", "native").path.rglob("*.safetensors")).read_bytes()
        for study in (plain, told_study)
    ]
    assert weights[0] == weights[1]
