"""Several trainings at once: the same bytes as one by one, errors that name the job, and no orphans."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from firefusion_assets.segmentation import parallel
from firefusion_assets.segmentation.parallel import TrainingError, train_all
from firefusion_assets.segmentation.training import TrainingJob, train_unet
from firefusion_assets_tests.builders.squares import square_job

WEIGHTS = "network.safetensors"


def workers_of(pid: int) -> list[psutil.Process]:
    return [p for p in psutil.Process(pid).children() if "spawn_main" in " ".join(p.cmdline())]


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(parallel.torch.cuda, "device_count", lambda: 0)


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_workers_train_the_same_bytes_as_this_process(tmp_path: Path) -> None:
    jobs = [(square_job(tmp_path, seed=seed), tmp_path / f"s{seed}") for seed in (1, 2, 3)]
    messages: list[str] = []
    train_all(jobs, messages.append)
    assert len(messages) == 9
    for job, work in jobs:
        train_unet(job, tmp_path / "alone" / work.name)
        assert (tmp_path / "alone" / work.name / WEIGHTS).read_bytes() == (work / WEIGHTS).read_bytes()
    train_all(jobs, lambda _: pytest.fail("trained again"))


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_an_error_in_a_worker_names_fold_and_replicate_with_its_traceback(tmp_path: Path) -> None:
    good = square_job(tmp_path, seed=1)
    bad = square_job(tmp_path, replicate=2, fold=3).model_copy(update={"train_ids": ("p01", "p03")})
    with pytest.raises(TrainingError, match=r"(?s)fold 3 replicate 2 failed:.*survey_train.*has a fire pixel"):
        train_all([(good, tmp_path / "good"), (bad, tmp_path / "bad")], lambda _: None)
    assert not workers_of(os.getpid())


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_a_killed_worker_is_an_error(tmp_path: Path) -> None:
    jobs = [(square_job(tmp_path, replicate=n, steps=100000), tmp_path / f"s{n}") for n in (1, 2)]
    victim: list[int] = []

    def kill_one(message: str) -> None:
        if not victim:
            victim.append(workers_of(os.getpid())[0].pid)
            os.kill(victim[0], signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"training of fold 0 replicate [12] was ended by signal 9"):
        train_all(jobs, kill_one)


def test_a_single_worker_is_this_process_and_names_the_job_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def failing(job: TrainingJob, work: Path, progress: object) -> None:
        seen.append((os.getpid(), torch.get_num_threads()))
        raise ValueError("no fire")

    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(parallel, "train_unet", failing)
    with pytest.raises(ValueError, match="no fire") as caught:
        train_all([(square_job(tmp_path, replicate=4), tmp_path / "work")], lambda _: None)
    assert caught.value.__notes__ == ["while training fold 0 replicate 4"]
    assert seen == [(os.getpid(), 3)]
    assert torch.get_num_threads() == 1


def test_no_jobs_no_work() -> None:
    train_all([], lambda _: pytest.fail("nothing to tell"))


PARENT = """
import os, sys
from pathlib import Path
from firefusion_assets.segmentation import parallel
from firefusion_assets.segmentation.training import TrainingJob

os.sched_getaffinity = lambda _: {0, 1}
jobs = [(TrainingJob.model_validate_json(Path(arg).read_text()), Path(arg + ".work")) for arg in sys.argv[1:]]
parallel.train_all(jobs, lambda message: print(message, flush=True))
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    names = []
    for seed in (1, 2):
        name = tmp_path / f"job{seed}.json"
        name.write_text(square_job(tmp_path, seed=seed, steps=100000).model_dump_json())
        names.append(str(name))
    with subprocess.Popen([sys.executable, "-c", PARENT, *names], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert "step 4 of 100000" in parent.stdout.readline()
        workers = workers_of(parent.pid)
        assert len(workers) == 2
        parent.kill()
        _, alive = psutil.wait_procs(workers, timeout=20)
    try:
        assert not alive
    finally:
        for process in alive:
            process.kill()


@pytest.mark.slow
def test_trainings_whose_parent_is_told_to_end_go_on_behind_their_last_step(tmp_path: Path) -> None:
    job = square_job(tmp_path, steps=500, validate_every=250)
    for name in ("job1", "job2"):
        (tmp_path / name).write_text(job.model_dump_json())
    script = "import signal\nsignal.signal(signal.SIGTERM, signal.default_int_handler)\n" + PARENT
    command = [sys.executable, "-c", script, *(str(tmp_path / name) for name in ("job1", "job2"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        assert "step 250 of 500" in parent.stdout.readline()
        parent.terminate()
    works = [tmp_path / f"{name}.work" for name in ("job1", "job2")]
    saved = [int(file.stem.removeprefix("checkpoint-")) for work in works for file in work.glob("checkpoint-*.pt")]
    assert any(250 < step < 500 for step in saved), saved
    for work in works:
        train_unet(job, work)
    train_unet(job, tmp_path / "undisturbed")
    undisturbed = (tmp_path / "undisturbed" / WEIGHTS).read_bytes()
    assert all((work / WEIGHTS).read_bytes() == undisturbed for work in works)
