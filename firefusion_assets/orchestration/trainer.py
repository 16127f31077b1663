"""An engine's trainer, run from an asset through Dagster Pipes: its processes report to the run that started them.

As a module this is what those processes run: the trainer, whose progress goes into the run's log.
"""

import argparse
import os
import traceback
import warnings
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

import dagster as dg
from dagster_pipes import open_dagster_pipes

from firefusion_assets.study.engine import Launch

_REASON_FILE: Final = "failure.txt"
"""Beside the job file, where a trainer says why it failed."""


def launched_by(context: dg.AssetExecutionContext) -> Launch:
    """Return what runs an engine's trainer on a job file, on every device that the step has leased.

    If the trainer fails, so does the step, for the trainer's own reason.
    """

    def launch(trainer: str, job: Path) -> None:
        from firefusion_assets.engines.contract import TrainerError
        from firefusion_assets.engines.launching import trainer_command

        command = trainer_command(__name__, trainer, str(job))
        reason = job.with_name(_REASON_FILE)
        reason.unlink(missing_ok=True)
        with warnings.catch_warnings():
            # The client itself asks a new method of its message reader.
            warnings.filterwarnings("ignore", "Function `PipesMessageReader", dg.PreviewWarning)
            try:
                dg.PipesSubprocessClient().run(context=context.op_execution_context, command=command)
            except Exception as error:  # the client's own class is private, and says no more than an exit code
                if reason.is_file():
                    raise TrainerError(reason.read_text()) from error
                raise

    return launch


def main() -> None:
    """Train by a job file; the first of several processes speaks for all."""
    from firefusion_assets.core.processes import end_with

    parser = argparse.ArgumentParser(description="Train for a step of a Dagster run.")
    parser.add_argument("trainer", help="module:function of the engine")
    parser.add_argument("job", type=Path)
    parser.add_argument("--parent", type=int)
    arguments = parser.parse_args()
    end_with(arguments.parent)
    train = resolve_name(arguments.trainer)
    if os.environ.get("RANK", "0") != "0":
        train(arguments.job, lambda line: None)
        return
    with open_dagster_pipes() as pipes:
        try:
            train(arguments.job, pipes.log.info)
        except BaseException as error:
            reason = f"the fine-tuning failed: {error}\n\n{traceback.format_exc()}"
            arguments.job.with_name(_REASON_FILE).write_text(reason)
            raise


if __name__ == "__main__":
    main()
