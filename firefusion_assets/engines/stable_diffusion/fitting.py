"""Fitting engine `stable-diffusion`: constants here, the training in a process of its own."""

import csv
import json
import os
import shutil
import subprocess
from collections import deque
from pathlib import Path
from typing import Final

from firefusion_assets.core.gpu_usage import GpuUsage, told_by_child
from firefusion_assets.core.training_loop import remove_checkpoints
from firefusion_assets.engines.contract import TrainerError
from firefusion_assets.engines.launching import trainer_command
from firefusion_assets.engines.stable_diffusion import class_images, encoded_views
from firefusion_assets.engines.stable_diffusion.job import FinetuningJob
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.trainer import HISTORY_FILE, LOCK_FILE, TOLD_FILE, finetune
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.engine import Progress, Run

_TAIL: Final = 100
"""Lines: a launcher of several processes prints a long report below the reason."""


def fit(
    generator: StableDiffusionGenerator,
    train: PatchPart,
    work: Path,
    run: Run,
) -> dict[str, float]:
    """Fit constants, and fine-tune where the method does, into the folder ``work``.

    Args:
        generator: the config's; a local `base_model` as an absolute path.
        train: the patches to learn from.
        work: the folder to fill; an interrupted training in it goes on.
        run: its progress gets what the trainer prints.

    Raises:
        NoFireError: if the train part holds no fire.
        TrainerError: if the trainer failed.
    """
    file = prepare(generator, train, work)
    if generator.method == "none":
        file.unlink()
        return {"n_views": 0}
    if run.launch is None:
        run_trainer(generator.trainer, file, run.progress)
    else:
        run.launch(generator.trainer, file)
    remove_checkpoints(work)
    for folder in (class_images.FOLDER, encoded_views.FOLDER):
        shutil.rmtree(work / folder, ignore_errors=True)
    told = json.loads((work / TOLD_FILE).read_text())
    told_by_child(told["gpu"] and GpuUsage(*told["gpu"]))
    for left in (file, work / LOCK_FILE, work / TOLD_FILE):
        left.unlink(missing_ok=True)
    with (work / HISTORY_FILE).open(newline="") as history:
        losses = [float(row["loss"]) for row in csv.DictReader(history)]
    last = losses[-max(1, len(losses) // 10) :]
    return {"n_steps": len(losses), "loss_final": sum(last) / len(last), **told["facts"]}


def prepare(generator: StableDiffusionGenerator, train: PatchPart, work: Path) -> Path:
    """Fit constants and write what the trainer needs into the folder ``work``; return the job file.

    Raises:
        NoFireError: if the train part holds no fire.
    """
    Pixels.fit(generator, train).write(work)
    job = FinetuningJob(
        generator=generator,
        base=train.store,
        train_ids=tuple(train.ids),
        statistics=train.statistics_file and train.statistics_file.resolve(),
        work=work.resolve(),
    )
    file = work / "job.json"
    file.write_text(job.model_dump_json())
    return file


def train(job: Path, progress: Progress) -> None:
    """Fine-tune by a job file of `prepare`, in this process."""
    finetune(FinetuningJob.model_validate_json(job.read_text()), progress)


def run_trainer(trainer: str, job: Path, progress: Progress) -> None:
    """Run a trainer as a child process, or several of them where there are several devices.

    Raises:
        TrainerError: if it failed.
    """
    tail: deque[str] = deque(maxlen=_TAIL)
    # Else what it printed comes after the error that ended it.
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - our own module
        trainer_command(trainer, job), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=unbuffered
    ) as process:
        if process.stdout is None:
            raise TrainerError("the trainer has no output")
        for line in process.stdout:
            tail.append(line.rstrip())
            progress(line.rstrip())
    if process.returncode:
        raise TrainerError(f"the fine-tuning ended with exit code {process.returncode}:\n" + "\n".join(tail))
