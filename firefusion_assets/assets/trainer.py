"""Fine-tuning from an asset through Dagster Pipes: its processes report to the run that started them.

As a module this is what those processes run: the trainer, whose progress goes into the run's log.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster_pipes import open_dagster_pipes


def launched_by(context: dg.AssetExecutionContext) -> Callable[[Path], None]:
    """Return what runs the trainer on a job file, on every device that the step has leased.

    If the trainer fails, so does the step, with the trainer's traceback in the run's log.
    """

    def launch(job: Path) -> None:
        from firefusion_assets.inpainting.engines.stable_diffusion.finetuning import trainer_command

        command = trainer_command(__name__, job)
        with warnings.catch_warnings():
            # The client itself asks a new method of its message reader.
            warnings.filterwarnings("ignore", "Function `PipesMessageReader", dg.PreviewWarning)
            dg.PipesSubprocessClient().run(context=context.op_execution_context, command=command)

    return launch


def main() -> None:
    """Fine-tune by a job file; the first of several processes speaks for all."""
    from firefusion_assets.inpainting.engines.stable_diffusion.job import FinetuningJob
    from firefusion_assets.inpainting.engines.stable_diffusion.training import finetune
    from firefusion_assets.processes import end_with

    parser = argparse.ArgumentParser(description="Fine-tune for a step of a Dagster run.")
    parser.add_argument("job", type=Path)
    parser.add_argument("--parent", type=int)
    arguments = parser.parse_args()
    end_with(arguments.parent)
    job = FinetuningJob.model_validate_json(arguments.job.read_text())
    if os.environ.get("RANK", "0") != "0":
        finetune(job, lambda line: None)
        return
    with open_dagster_pipes() as pipes:
        finetune(job, pipes.log.info)


if __name__ == "__main__":
    main()
