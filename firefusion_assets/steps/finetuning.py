"""A fine-tuning in processes of its own: the job file, and the run on it."""

from collections.abc import Callable
from pathlib import Path

from firefusion_assets.core.errors import RequestError
from firefusion_assets.engines.stable_diffusion.fitting import prepare
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import read_fold
from firefusion_assets.study.generators import StableDiffusionGenerator, resolved


def prepare_job(lineage: Lineage, key: str, folder: Path, number: int) -> Path:
    """Write what the trainer of a config needs; return the job file.

    Args:
        lineage: of the study.
        key: of the config.
        folder: a new one; the trainer publishes the model there.
        number: of the fold.

    Raises:
        MissingUpstreamError: if patches or split were not made.
        NoFireError: if the train part holds no fire.
        RequestError: if the engine isn't fine-tuned, the fold isn't there or the folder is.
    """
    generator = resolved(lineage.config(key).generator, lineage.folder)
    if not isinstance(generator, StableDiffusionGenerator):
        raise RequestError(f"{key!r} has engine {generator.engine}; only stable-diffusion is fine-tuned")
    train = read_fold(lineage, number).train
    if folder.exists():
        raise RequestError(f"{folder}: is there already; name a new folder")
    folder.mkdir(parents=True)
    return prepare(generator, train, folder)


def run_job(job: Path, progress: Callable[[str], None]) -> None:
    """Run the trainer on a job file, in this process.

    Args:
        job: of `prepare_job`, or of a step of the lineage.
        progress: is told how far the training is.
    """
    from firefusion_assets.engines.stable_diffusion.job import FinetuningJob
    from firefusion_assets.engines.stable_diffusion.trainer import finetune

    finetune(FinetuningJob.model_validate_json(job.read_text()), progress)
