"""Fitting engine `stable-diffusion`: constants here, the training in a process of its own.

As a command it prepares a fine-tuning that is to run without Dagster.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from firefusion_assets.core.devices import device_count
from firefusion_assets.core.training import remove_checkpoints
from firefusion_assets.engines.contract import TrainerError
from firefusion_assets.engines.stable_diffusion.class_images import FOLDER
from firefusion_assets.engines.stable_diffusion.job import FinetuningJob
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.trainer import HISTORY_FILE, LOCK_FILE
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.generators import StableDiffusionGenerator

TRAINER: Final = "firefusion_assets.engines.stable_diffusion.trainer"
_TAIL: Final = 100
"""Lines: the report of a launcher of several processes is long, and the reason stands above it."""


def fit(
    generator: StableDiffusionGenerator,
    train: PatchPart,
    work: Path,
    progress: Callable[[str], None],
    launch: Callable[[Path], None] | None = None,
) -> dict[str, float]:
    """Fit constants, and fine-tune where the method does, into the folder ``work``.

    Args:
        generator: the config's; a local `base_model` as an absolute path.
        train: the patches to learn from.
        work: the folder to fill; an interrupted training in it goes on.
        progress: told what the trainer prints.
        launch: runs the trainer on a job file; by default as a child process.

    Raises:
        NoFireError: if the train part holds no fire.
        TrainerError: if the trainer failed.
    """
    file = prepare(generator, train, work)
    if generator.method == "none":
        file.unlink()
        return {"n_views": 0}
    if launch is None:
        run_trainer(file, progress)
    else:
        launch(file)
    remove_checkpoints(work)
    shutil.rmtree(work / FOLDER, ignore_errors=True)
    for left in (file, work / LOCK_FILE):
        left.unlink(missing_ok=True)
    with (work / HISTORY_FILE).open(newline="") as history:
        losses = [float(row["loss"]) for row in csv.DictReader(history)]
    last = losses[-max(1, len(losses) // 10) :]
    return {"n_steps": len(losses), "loss_final": sum(last) / len(last)}


def prepare(generator: StableDiffusionGenerator, train: PatchPart, work: Path) -> Path:
    """Fit constants and write what the trainer needs into the folder ``work``; return the job file.

    Raises:
        NoFireError: if the train part holds no fire.
    """
    Pixels.fit(generator, train).write(work)
    job = FinetuningJob(generator=generator, base=train.store, train_ids=tuple(train.ids), work=work.resolve())
    file = work / "job.json"
    file.write_text(job.model_dump_json())
    return file


def run_trainer(job: Path, progress: Callable[[str], None]) -> None:
    """Run the trainer as a child process, or several of them where there are several devices.

    Raises:
        TrainerError: if it failed.
    """
    tail: deque[str] = deque(maxlen=_TAIL)
    # Else what it printed comes after the error that ended it.
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - our own module
        trainer_command(TRAINER, job), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=unbuffered
    ) as process:
        if process.stdout is None:
            raise TrainerError("the trainer has no output")
        for line in process.stdout:
            tail.append(line.rstrip())
            progress(line.rstrip())
    if process.returncode:
        raise TrainerError(f"the fine-tuning ended with exit code {process.returncode}:\n" + "\n".join(tail))


def trainer_command(module: str, job: Path) -> list[str]:
    """Return the command that runs a trainer module on every visible GPU, or on the CPU."""
    own = [module, str(job), "--parent", str(os.getpid())]
    devices = device_count()
    if devices < 2:
        return [sys.executable, "-m", *own]
    launcher = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", str(devices))
    # Any free port: two fine-tunings may run on one machine.
    return [sys.executable, "-m", *launcher, "--main_process_port", "0", "-m", *own]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the fine-tuning of a config of the study that FIREFUSION_STUDY names."""
    from firefusion_assets.lineage.fingerprints import MissingUpstreamError
    from firefusion_assets.lineage.folds import read_folds
    from firefusion_assets.lineage.opening import open_lineage
    from firefusion_assets.study.generators import resolved

    parser = argparse.ArgumentParser(description="Write the job file of a fine-tuning.")
    parser.add_argument("key", help="config of the study, with engine stable-diffusion")
    parser.add_argument("folder", type=Path, help="new folder; the trainer publishes the model there")
    parser.add_argument("--fold", type=int, default=0, help="number of the fold (default: 0)")
    chosen = parser.parse_args(arguments)
    try:
        lineage = open_lineage()
        generator = resolved(lineage.config(chosen.key).generator, lineage.folder)
        if not isinstance(generator, StableDiffusionGenerator):
            raise ValueError(f"{chosen.key!r} has engine {generator.engine}; only stable-diffusion is fine-tuned")
        parts = {fold.number: fold.train for fold in read_folds(lineage)}
        if chosen.fold not in parts:
            raise ValueError(f"--fold: there is no fold {chosen.fold}; the study has {', '.join(map(str, parts))}")
        chosen.folder.mkdir(parents=True)
        job = prepare(generator, parts[chosen.fold], chosen.folder)
    except (ValueError, FileExistsError, MissingUpstreamError) as error:
        raise SystemExit(str(error)) from error
    print(f"accelerate launch -m {TRAINER} {job}")


if __name__ == "__main__":
    main()
