"""Training several U-Nets at once: a process each, as far as GPUs or cores go.

Processes and their messages belong here; what a training does does not.
"""

import multiprocessing
import os
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from firefusion_assets.core.errors import UserError
from firefusion_assets.core.processes import end_with
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
        progress: is told, in this process, how each training stands.

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


class _Worker(NamedTuple):
    job: TrainingJob
    slot: int
    process: BaseProcess
    messages: "Connection[Any, Any]"


def _train_in_processes(
    jobs: Sequence[tuple[TrainingJob, Path]], workers: int, threads: int, progress: Callable[[str], None]
) -> None:
    waiting = [(job, work) for job, work in jobs if not is_finished(work)]
    free = list(range(workers))
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and free:
                running.append(_start(*waiting.pop(0), free.pop(0), threads))
            heard = wait([worker.messages for worker in running])
            for worker in [worker for worker in running if worker.messages in heard]:
                if not _hear(worker, progress):
                    running.remove(worker)
                    free.append(worker.slot)
    finally:
        for worker in running:
            worker.process.terminate()
            worker.process.join()


def _start(job: TrainingJob, work: Path, slot: int, threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a forked process can't use CUDA
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, work, slot, threads, os.getpid(), sender))
    process.start()
    sender.close()  # the worker's end is now the only one: the pipe closes when the worker ends
    return _Worker(job, slot, process, receiver)


def _hear(worker: _Worker, progress: Callable[[str], None]) -> bool:
    """Pass a worker's message on; return False where it has finished instead of sending one."""
    try:
        kind, text = worker.messages.recv()
    except EOFError:
        worker.process.join()
        code = worker.process.exitcode
        if code:
            how = f"signal {-code} (out of memory?)" if code < 0 else f"exit code {code}"
            raise TrainingError(f"training of {worker.job.name} was ended by {how}") from None
        return False
    if kind == "error":
        raise TrainingError(f"training of {worker.job.name} failed:\n{text}")
    progress(text)
    return True


def _work(job: TrainingJob, work: Path, slot: int, threads: int, parent: int, messages: "Connection[Any, Any]") -> None:
    """Train one job in a process of its own; messages are ("progress", text) or ("error", traceback)."""
    end_with(parent)
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(slot)
    try:
        train_unet(job, work, lambda text: messages.send(("progress", text)))
    except BaseException:
        messages.send(("error", traceback.format_exc()))
        raise
