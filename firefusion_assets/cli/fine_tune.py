"""`firefusion fine-tune`, and the command that runs a trainer on a job file: what accelerate and the steps start."""

import os
from pathlib import Path
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
    from firefusion_assets.engines.stable_diffusion.fitting import TRAINER
    from firefusion_assets.steps.finetuning import prepare_job

    job = prepare_job(open_study(study, key), key, folder, fold)
    typer.echo(f"accelerate launch -m {' '.join(TRAINER)} {job}")


def fine_tune_job(
    job: Annotated[Path, typer.Argument(help="job.json in the folder to fill.")],
    parent: Annotated[int | None, typer.Option(help="End as soon as this process ends.")] = None,
    piped: Annotated[bool, typer.Option("--piped", help="Report to the Dagster run that started it.")] = False,
) -> None:
    """Fine-tune by a job file; the first of several processes speaks for all."""
    from firefusion_assets.core.processes import end_with
    from firefusion_assets.steps.finetuning import run_job

    if parent is not None:
        end_with(parent)
    if os.environ.get("RANK", "0") != "0":
        run_job(job, lambda line: None)
    elif piped:
        from firefusion_assets.orchestration.trainer import run_piped_job

        run_piped_job(job)
    else:
        run_job(job, lambda line: print(line, flush=True))
