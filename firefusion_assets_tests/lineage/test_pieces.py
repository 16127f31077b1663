"""Pieces of an object, here trainings, several at once: the bytes of one by one, named errors, no orphans."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.lineage.pieces import Piece, PieceError, Pieces, put_together
from firefusion_assets.segmentation import parallel
from firefusion_assets.segmentation.parallel import share_of_cores, trainers
from firefusion_assets.segmentation.training import train_unet
from firefusion_assets_tests.builders.squares import square_job, trainings

WEIGHTS = "network.safetensors"


def workers_of(pid: int) -> list[psutil.Process]:
    return [p for p in psutil.Process(pid).children() if "spawn_main" in " ".join(p.cmdline())]


@pytest.mark.slow
def test_processes_make_the_same_bytes_as_this_one_and_only_what_is_missing(tmp_path: Path) -> None:
    pieces = trainings(tmp_path, *(square_job(tmp_path, seed=seed) for seed in (1, 2, 3)))
    assert pieces.unfinished(2) == [0, 1] and pieces.unfinished(3) == [0, 1, 2]
    pieces.share(0, 2).build(lambda _: None)
    assert pieces.unfinished(2) == [1] and pieces.unfinished(3) == [1, 2]
    first, messages = pieces.pieces[0].find(print), list[str]()
    made = pieces.build(messages.append)
    assert len(messages) == 6 and made[0] == first
    assert [piece.facts["seed"] for piece in made] == [1, 2, 3]
    for piece in made:
        train_unet(square_job(tmp_path, seed=piece.facts["seed"]), alone := tmp_path / "alone" / piece.fingerprint)
        assert (piece.path / "net" / WEIGHTS).read_bytes() == (alone / WEIGHTS).read_bytes()
    assert pieces.build(lambda _: pytest.fail("made again")) == made and pieces.unfinished(2) == []


@pytest.mark.slow
def test_an_error_in_a_process_names_the_piece_with_its_traceback(tmp_path: Path) -> None:
    bad = square_job(tmp_path, replicate=2, fold=3).model_copy(update={"train_ids": ("p01", "p03")})
    with pytest.raises(
        PieceError, match=r"(?s)making fold 3 replicate 2 of networks failed:.*survey_train.*has a fire pixel"
    ):
        trainings(tmp_path, square_job(tmp_path, seed=1), bad).build(lambda _: None)
    assert not workers_of(os.getpid())


@pytest.mark.slow
def test_a_killed_process_is_an_error(tmp_path: Path) -> None:
    victim: list[int] = []

    def kill_one(message: str) -> None:
        if not victim:
            victim.append(workers_of(os.getpid())[0].pid)
            os.kill(victim[0], signal.SIGKILL)

    pieces = trainings(tmp_path, *(square_job(tmp_path, replicate=n, steps=100000) for n in (1, 2)))
    with pytest.raises(PieceError, match=r"making fold 0 replicate [12] of networks was ended by signal 9"):
        pieces.build(kill_one)


def one(tmp_path: Path, number: int, make: Callable[[Path], Mapping[str, Any]]) -> Piece:
    """Return a piece of something else."""
    store = ArtifactStore(tmp_path / "artifacts")
    return Piece(f"fold {number}", ("parts", f"whole-{number}"), (), store, lambda work, progress: make(work))


def test_a_single_process_is_this_one_and_names_the_piece_too(tmp_path: Path) -> None:
    seen: list[int] = []

    def failing(work: Path) -> Mapping[str, Any]:
        seen.append(os.getpid())
        raise ValueError("no fire")

    with pytest.raises(ValueError, match="no fire") as caught:
        Pieces([one(tmp_path, 4, failing)]).build(print)
    assert caught.value.__notes__ == ["while making fold 4"] and seen == [os.getpid()]


def test_what_has_to_hold_is_looked_at_before_the_first_piece_and_only_if_one_is_made(tmp_path: Path) -> None:
    told: list[str] = []

    def make(work: Path) -> Mapping[str, Any]:
        told.append("made")
        return {}

    pieces = Pieces([one(tmp_path, number, make) for number in (0, 1)], lambda progress: told.append("looked"))
    pieces.build(print)
    pieces.build(print)
    assert told == ["looked", "made", "made"]
    assert Pieces([]).build(print) == []


def test_an_object_holds_the_files_of_its_pieces_once_and_costs_what_they_did(tmp_path: Path) -> None:
    def make(name: str, work: Path) -> Mapping[str, Any]:
        (work / name).mkdir()
        (work / name / "weights").write_bytes(name.encode())
        return {}

    store = ArtifactStore(tmp_path / "artifacts")
    pieces = Pieces([one(tmp_path, n, partial(make, f"fold-{n}")) for n in (0, 1)])
    ahead = pieces.share(1, 2).build(print)[0]
    manifest = ahead.path / "manifest.json"  # as if it had taken long, on a large GPU
    cost = '"cost": {"seconds": 1000.0, "gpu_seconds": 900.0, "peak_memory_gib": 500.0}, "was": '
    manifest.write_text(manifest.read_text().replace('"cost": ', cost))
    left = tmp_path / "artifacts" / "whole" / ".work" / "f"
    (left / "fold-0").mkdir(parents=True)
    (left / "fold-0" / "checkpoint-0000002.pt").touch()

    def make_whole(work: Path) -> Mapping[str, Any]:
        put_together(pieces.build(print), work)
        return {}

    whole = store.build("whole", "f", make_whole)
    files = {path.relative_to(whole.path).as_posix(): path for path in whole.path.rglob("*") if path.is_file()}
    assert set(files) == {"fold-0/weights", "fold-1/weights", "manifest.json"}
    assert all(files[f"fold-{n}/weights"].read_bytes() == f"fold-{n}".encode() for n in (0, 1))
    assert files["fold-1/weights"].samefile(ahead.path / "fold-1" / "weights")
    assert whole.uses == (("parts", "whole-0"), ("parts", "whole-1"))
    assert 1000 <= whole.cost["seconds"] < 1010 and whole.cost["gpu_seconds"] == 900
    assert whole.cost["peak_memory_gib"] == 500
    again: list[Artifact] = pieces.build(print)
    assert [piece.fingerprint for piece in again] == ["whole-0", "whole-1"]


def test_threads_follow_from_all_trainings_of_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 6)
    monkeypatch.setattr(parallel.torch.cuda, "device_count", lambda: 0)
    before = torch.get_num_threads()
    for n_jobs, at_once, threads in ((1, 1, 6), (2, 2, 3), (4, 4, 1), (40, 6, 1)):
        assert trainers(n_jobs) == at_once
        with share_of_cores(n_jobs):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == before
    monkeypatch.setattr(parallel.torch.cuda, "device_count", lambda: 2)
    assert trainers(40) == 2


PARENT = """
import sys
from functools import partial
from pathlib import Path
from firefusion_assets.segmentation.training import TrainingJob
from firefusion_assets_tests.builders.squares import trainings

if __name__ == "__main__":
    jobs = [TrainingJob.model_validate_json(Path(arg).read_text()) for arg in sys.argv[2:]]
    trainings(Path(sys.argv[1]), *jobs).build(partial(print, flush=True))
"""


@pytest.mark.slow
def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    names = []
    for seed in (1, 2):
        name = tmp_path / f"job{seed}.json"
        name.write_text(square_job(tmp_path, seed=seed, steps=100000).model_dump_json())
        names.append(str(name))
    command = [sys.executable, "-c", PARENT, str(tmp_path), *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
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
