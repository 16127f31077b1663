"""A training learns, honours ignored pixels, and after a kill goes on to the same bytes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from firefusion_assets.core.memory import DeviceMemoryError
from firefusion_assets.patchstore import Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.segmentation import training as training_module
from firefusion_assets.segmentation.metrics import Counts, dice
from firefusion_assets.segmentation.trained import NetworkRecord, load_network
from firefusion_assets.segmentation.training import TrainingJob, train_unet, validate
from firefusion_assets_tests.builders.squares import (
    BANDS,
    SIZE,
    square_job,
    square_patch,
    squares,
    write_store,
)

FILES = ("network.safetensors", "network.json", "history.csv")


def record_of(work: Path) -> NetworkRecord:
    return NetworkRecord.model_validate_json((work / "network.json").read_text())


def bytes_of(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.iterdir()}


@pytest.mark.slow
def test_learns_bright_squares(tmp_path: Path) -> None:
    job = square_job(tmp_path, steps=60, validate_every=20)
    train_unet(job, tmp_path / "work")
    network, record = load_network(tmp_path / "work")
    part = PatchPart(Patches(job.base), job.val_ids)
    val_dice = dice(validate(network, record.normalisation, part, job.threshold))
    assert val_dice is not None and val_dice > 0.9
    assert val_dice == record.val_dice_micro


def test_a_batch_that_a_device_cannot_hold_ends_with_the_key_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(training_module, "masked_loss", no_room)
    with pytest.raises(DeviceMemoryError, match="lower training.batch_size"):
        train_unet(square_job(tmp_path), tmp_path / "work")


def test_what_a_finished_training_leaves(tmp_path: Path) -> None:
    job = square_job(tmp_path, seed=5)
    messages: list[str] = []
    train_unet(job, tmp_path / "work", messages.append)
    assert sorted(bytes_of(tmp_path / "work")) == sorted(FILES)
    record = record_of(tmp_path / "work")
    assert (record.training, record.fold, record.seed) == (job.training, 0, 5)
    assert record.normalisation.bands == ("B7", "B6", "B2")
    history = pd.read_csv(tmp_path / "work" / "history.csv")
    assert list(history["step"]) == [4, 8, 12]
    assert {"train_loss", "val_dice_micro"} <= set(history.columns)
    best = history.set_index("step")["val_dice_micro"]
    assert record.step == best.idxmax()
    assert record.val_dice_micro == best.max()
    assert any(name.endswith("running_var") for name in load_file(tmp_path / "work" / "network.safetensors"))
    assert [message.split(",")[0] for message in messages] == [
        f"fold 0 replicate 0: step {n} of 12" for n in (4, 8, 12)
    ]


def test_a_finished_folder_is_left_alone(tmp_path: Path) -> None:
    job = square_job(tmp_path)
    train_unet(job, tmp_path / "work")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").iterdir()}
    (tmp_path / "work" / "checkpoint-0000012.pt").write_bytes(b"left behind by a kill at the very end")
    train_unet(job, tmp_path / "work", lambda _: pytest.fail("trained again"))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").iterdir()} == before


def test_the_last_step_is_validated_too(tmp_path: Path) -> None:
    train_unet(square_job(tmp_path, steps=5, validate_every=3), tmp_path / "work")
    assert list(pd.read_csv(tmp_path / "work" / "history.csv")["step"]) == [3, 5]


@pytest.mark.slow
def test_same_seed_same_bytes_other_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_unet(square_job(tmp_path, seed=seed), tmp_path / name)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert bytes_of(tmp_path / "a")["network.safetensors"] != bytes_of(tmp_path / "c")["network.safetensors"]


KILLED = """
import sys, time
from pathlib import Path
import torch
from firefusion_assets.segmentation.training import TrainingJob, train_unet

torch.set_num_threads(1)
taken, real_step = 0, torch.optim.Adam.step
def step(self, *args, **kwargs):
    global taken
    taken += 1
    if taken == 15:
        Path(sys.argv[3]).touch()
        time.sleep(600)
    return real_step(self, *args, **kwargs)
torch.optim.Adam.step = step
train_unet(TrainingJob.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("added", [0, 3])
def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path: Path, added: int) -> None:
    meta = StoreMeta(study="squares", bands=BANDS, patch_size=SIZE)
    with PatchWriter(tmp_path / "overlay", meta) as writer:
        for i in range(added):
            writer.add_patch(f"s{i}", square_patch(900 + i, fire=True, weight=0.5), fold=0)
    job = square_job(tmp_path, steps=24, validate_every=6).model_copy(update={"overlays": (tmp_path / "overlay",)})
    train_unet(job, tmp_path / "undisturbed")

    (tmp_path / "job.json").write_text(job.model_dump_json())
    arguments = [tmp_path / "job.json", tmp_path / "killed", tmp_path / "reached"]
    with subprocess.Popen([sys.executable, "-c", KILLED, *map(str, arguments)]) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "reached").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["checkpoint-0000012.pt"]

    messages: list[str] = []
    train_unet(job, tmp_path / "killed", messages.append)
    assert messages.pop(0) == "fold 0 replicate 0: resumed at step 12 of 24"
    assert [message.split(",")[0] for message in messages] == [f"fold 0 replicate 0: step {n} of 24" for n in (18, 24)]
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"schedule": "constant"}, {"ema_decay": 0.9}, {"checkpoint": "last"}])
def test_a_training_that_was_stopped_goes_on_with_schedule_average_and_choice(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    job = square_job(tmp_path, steps=8, validate_every=2, **changes)
    train_unet(job, tmp_path / "undisturbed")

    def stop(message: str) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train_unet(job, tmp_path / "stopped", stop)
    train_unet(job, tmp_path / "stopped")
    assert bytes_of(tmp_path / "stopped") == bytes_of(tmp_path / "undisturbed")


def test_the_last_weights_are_kept_where_the_study_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fire, missed = Counts(6, 2, 2, 0), Counts(0, 2, 8, 0)
    validations = iter([missed, fire, missed])
    monkeypatch.setattr(training_module, "validate", lambda *_: next(validations))
    train_unet(square_job(tmp_path, steps=3, validate_every=1, checkpoint="last"), tmp_path / "work")
    assert (record_of(tmp_path / "work").step, record_of(tmp_path / "work").val_dice_micro) == (3, 0)


def test_averaged_weights_are_those_that_are_validated_and_kept(tmp_path: Path) -> None:
    """The training itself is the same; what is kept is not."""
    for name, decay in (("own", None), ("average", 0.999)):
        train_unet(square_job(tmp_path, steps=6, validate_every=6, ema_decay=decay), tmp_path / name)
    own, average = (load_file(tmp_path / name / "network.safetensors") for name in ("own", "average"))
    assert not torch.equal(own["network.head.weight"], average["network.head.weight"])
    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in ("own", "average")]
    pd.testing.assert_series_equal(histories[0]["train_loss"], histories[1]["train_loss"], check_exact=True)


@pytest.mark.parametrize("repeat_fire", [True, False])
def test_a_network_begins_with_the_share_of_fire_that_batches_have(tmp_path: Path, repeat_fire: bool) -> None:
    """Half of a batch burns, or as many as of the train part; a tiny learning rate leaves the bias where it began."""
    job = square_job(tmp_path, steps=1, learning_rate=1e-9).model_copy(update={"repeat_fire": repeat_fire})
    train_unet(job, tmp_path / "work")
    patches = [squares(24)[patch_id] for patch_id in job.train_ids]
    burning = sum(int((patch.label & ~patch.ignore).sum()) for patch in patches)
    on_fire = sum(bool((patch.label & ~patch.ignore).any()) for patch in patches)
    valid = sum(int((~patch.ignore).sum()) for patch in patches)
    share = 0.5 * burning / (on_fire * SIZE**2) if repeat_fire else burning / valid
    (bias,) = load_file(tmp_path / "work" / "network.safetensors")["network.head.bias"].tolist()
    assert bias == pytest.approx(np.log(share / (1 - share)), abs=1e-5)


def test_a_training_tells_how_it_goes_whatever_validate_every_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firefusion_assets.core.training_loop._TELL_EVERY_S", 0.0)
    messages: list[str] = []
    train_unet(square_job(tmp_path, steps=3, validate_every=3), tmp_path / "work", messages.append)
    pattern = (
        r"fold 0 replicate 0: step \d of 3, loss \d\.\d{4}(, val Dice .*)?, [\d.]+ steps/s, about \d+\.\d min left"
    )
    assert len(messages) == 4 and all(re.fullmatch(pattern, message) for message in messages)


@pytest.mark.slow
def test_dropout_of_a_resumed_training_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = square_job(tmp_path, architecture="smp-fpn", steps=2, validate_every=1, batch_size=4)
    train_unet(job, tmp_path / "undisturbed")

    class Stopped(RuntimeError):
        pass

    def stop(message: str) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train_unet(job, tmp_path / "stopped", stop)
    torch.rand(100)  # the global generator is somewhere else now
    train_unet(job, tmp_path / "stopped")
    assert bytes_of(tmp_path / "stopped") == bytes_of(tmp_path / "undisturbed")


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    def stop(message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_unet(square_job(tmp_path), tmp_path / "work", stop)
    refused = r"checkpoint-0000004\.pt belongs to a training with other settings; remove it"
    with pytest.raises(ValueError, match=refused):
        train_unet(square_job(tmp_path, learning_rate=0.5), tmp_path / "work")


def test_best_is_the_earlier_of_equals_and_missing_is_worst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fire, missed = Counts(6, 2, 2, 0), Counts(0, 2, 8, 0)
    validations = iter([missed, fire, fire, missed])
    monkeypatch.setattr(training_module, "validate", lambda *_: next(validations))
    train_unet(square_job(tmp_path, steps=4, validate_every=1), tmp_path / "work")
    assert (record_of(tmp_path / "work").step, record_of(tmp_path / "work").val_dice_micro) == (2, 0.75)


def test_val_without_fire_keeps_the_last_weights(tmp_path: Path) -> None:
    job = square_job(tmp_path).model_copy(update={"val_ids": ("p17", "p19")})
    train_unet(job, tmp_path / "work")
    assert (record_of(tmp_path / "work").step, record_of(tmp_path / "work").val_dice_micro) == (12, None)
    assert pd.read_csv(tmp_path / "work" / "history.csv")["val_dice_micro"].isna().all()


def test_constants_and_batches_know_nothing_of_val(tmp_path: Path) -> None:
    job = square_job(tmp_path)
    train_unet(job, tmp_path / "a")
    marked = squares(24)
    for patch_id in job.val_ids:
        marked[patch_id].bands[:] = 65535
    write_store(tmp_path / "marked", marked)
    train_unet(job.model_copy(update={"base": tmp_path / "marked"}), tmp_path / "b")
    assert record_of(tmp_path / "a").normalisation == record_of(tmp_path / "b").normalisation
    a, b = (pd.read_csv(tmp_path / name / "history.csv")["train_loss"] for name in "ab")
    pd.testing.assert_series_equal(a, b, check_exact=True)


def test_constants_are_those_of_the_real_patches(tmp_path: Path) -> None:
    job = square_job(tmp_path)
    bright = square_patch(900, fire=True)
    bright.bands[:] = 60000
    overlay = write_store(tmp_path / "overlay", {"s": bright})
    train_unet(job, tmp_path / "a")
    train_unet(job.model_copy(update={"overlays": (overlay,)}), tmp_path / "b")
    assert record_of(tmp_path / "a").normalisation == record_of(tmp_path / "b").normalisation
    assert bytes_of(tmp_path / "a")["network.safetensors"] != bytes_of(tmp_path / "b")["network.safetensors"]


def test_job_survives_json_and_keeps_parts_apart(tmp_path: Path) -> None:
    job = square_job(tmp_path)
    assert TrainingJob.model_validate_json(job.model_dump_json()) == job
    with pytest.raises(ValueError, match="1 patches are in both train and val, for example 'p03'"):
        TrainingJob.model_validate(job.model_dump() | {"val_ids": ("p03",)})


def test_a_loss_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="fold 0 replicate 0: loss not finite at step 4; lower learning_rate"):
        train_unet(square_job(tmp_path, learning_rate=1e30), tmp_path / "work")
    assert not (tmp_path / "work" / "network.json").exists()
