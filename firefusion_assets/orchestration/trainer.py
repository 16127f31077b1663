"""An engine's trainer, run from an asset through Dagster Pipes: its processes report to the run that started them."""

import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import dagster as dg
from dagster_pipes import open_dagster_pipes

from firefusion_assets.study.engine import Launch, Progress

_REASON_FILE: Final = "failure.txt"
"""Beside the job file, where a trainer says why it failed."""


def launched_by(context: dg.AssetExecutionContext) -> Launch:
    """Return what runs an engine's trainer on a job file, on every device that the step has leased.

    If the trainer fails, so does the step, for the trainer's own reason.
    """

    def launch(trainer: str, job: Path) -> None:
        from firefusion_assets.engines.contract import TrainerError
        from firefusion_assets.engines.launching import trainer_command

        command = trainer_command(trainer, job, "--piped")
        reason = job.with_name(_REASON_FILE)
        reason.unlink(missing_ok=True)
        with warnings.catch_warnings():
            # The client itself asks a new method of its message reader.
            warnings.filterwarnings("ignore", "Function `PipesMessageReader", dg.PreviewWarning)
            try:
                dg.PipesSubprocessClient().run(context=context.op_execution_context, command=command)
            except Exception as error:  # the client's own class is private; the trainer's words say more than any
                if reason.is_file():
                    raise TrainerError(reason.read_text()) from error
                raise

    return launch


def run_piped_job(train: Callable[[Path, Progress], None], job: Path) -> None:
    """Run a trainer on a job file in the process that `launched_by` started; its progress goes to the run's log."""
    with open_dagster_pipes() as pipes:
        try:
            train(job, pipes.log.info)
        except BaseException as error:
            # The traceback is in the run's log: Pipes reports it.
            reason = "".join(traceback.format_exception_only(error)).strip()
            job.with_name(_REASON_FILE).write_text(f"the fine-tuning failed: {reason}")
            raise
