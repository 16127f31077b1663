"""`firefusion fine-tune`, and the command that runs a trainer on a job file: what accelerate and the steps start."""

import os
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated

import typer

from firefusion_assets.cli.options import Fold, Key, StudyOption, open_study


def fine_tune(
    key: Key,
    folder: Annotated[Path, typer.Argument(help="A new one; the trainer publishes the model there.")],
    fold: Fold = 0,
    study: StudyOption = None,
) -> None:
    """Prepare a fine-tuning that is to run without Dagster, and tell the command that runs it."""
    from firefusion_assets.engines.launching import COMMAND
    from firefusion_assets.steps.finetuning import prepare_job

    trainer, job = prepare_job(open_study(study, key), key, folder, fold)
    typer.echo(f"accelerate launch -m {' '.join(COMMAND)} {trainer} {job}")


def fine_tune_job(
    trainer: Annotated[str, typer.Argument(help="module:function of the engine.")],
    job: Annotated[Path, typer.Argument(help="job.json in the folder to fill.")],
    parent: Annotated[int | None, typer.Option(help="End as soon as this process ends.")] = None,
    piped: Annotated[bool, typer.Option("--piped", help="Report to the Dagster run that started it.")] = False,
) -> None:
    """Fine-tune by a job file; of several processes only the first reports progress."""
    from firefusion_assets.core.processes import end_with

    if parent is not None:
        end_with(parent)
    train = resolve_name(trainer)
    if os.environ.get("RANK", "0") != "0":
        train(job, lambda line: None)
    elif piped:
        from firefusion_assets.orchestration.trainer import run_piped_job

        run_piped_job(train, job)
    else:
        train(job, lambda line: print(line, flush=True))
