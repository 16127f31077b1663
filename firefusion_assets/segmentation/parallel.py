"""Training several U-Nets at once: a process each, as far as GPUs or cores go."""

import os
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from firefusion_assets.core.errors import UserError
from firefusion_assets.core.workers import WorkerError, Workers
from firefusion_assets.segmentation.training import TrainingJob, is_finished, train_unet


class TrainingError(UserError, RuntimeError):
    """A training failed in its process; the message names it and holds its traceback."""


def train_all(jobs: Sequence[tuple[TrainingJob, Path]], progress: Callable[[str], None]) -> None:
    """Train each job into its folder; finished ones are passed over, interrupted ones go on.

    There are as many workers as visible GPUs, one each, or without a GPU as usable cores, which they share
    evenly. A single worker is this process. The number of workers follows from the number of jobs, finished
    or not, so a resumed run computes with as many threads as the first. Workers stop when this process ends,
    even if it is killed.

    Args:
        jobs: trainings and their folders.
        progress: called in this process with lines on how each training goes.

    Raises:
        TrainingError: if a worker failed. The others are stopped, and go on from their checkpoints next time.
        Exception: what `train_unet` raises, with a note that names the job, if this process is the worker.
    """
    cores = len(os.sched_getaffinity(0))
    workers = min(len(jobs), torch.cuda.device_count() or cores)
    threads = max(1, cores // max(1, workers))
    if workers > 1:
        _train_in_processes(jobs, workers, threads, progress)
    else:
        _train_here(jobs, threads, progress)


def _train_here(jobs: Sequence[tuple[TrainingJob, Path]], threads: int, progress: Callable[[str], None]) -> None:
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for job, work in jobs:
            _train_named(job, work, progress)
    finally:
        torch.set_num_threads(threads_before)


def _train_named(job: TrainingJob, work: Path, progress: Callable[[str], None]) -> None:
    try:
        train_unet(job, work, progress)
    except BaseException as error:
        error.add_note(f"while training {job.name}")
        raise


def _train_in_processes(
    jobs: Sequence[tuple[TrainingJob, Path]], workers: int, threads: int, progress: Callable[[str], None]
) -> None:
    waiting = [(job, work) for job, work in jobs if not is_finished(work)]
    try:
        with Workers(workers, partial(_trainer, threads), _name, progress) as trainers:
            for _ in trainers.as_done(waiting):
                pass
    except WorkerError as error:
        raise TrainingError(str(error)) from None


def _name(job_and_folder: tuple[TrainingJob, Path]) -> str:
    return f"training of {job_and_folder[0].name}"


def _trainer(threads: int, slot: int) -> Callable[[tuple[TrainingJob, Path], Callable[[str], None]], None]:
    """Get a process ready to train on a device of its own, or with its share of the cores."""
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(slot)
    return _train


def _train(job_and_folder: tuple[TrainingJob, Path], progress: Callable[[str], None]) -> None:
    try:
        train_unet(*job_and_folder, progress)
    except BaseException:
        raise TrainingError(f"{_name(job_and_folder)} failed:\n{traceback.format_exc()}") from None
