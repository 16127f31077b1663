"""A fine-tuning that is to run without the lineage: its job file."""

from pathlib import Path

from firefusion_assets.core.errors import RequestError
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import read_fold


def prepare_job(lineage: Lineage, key: str, folder: Path, number: int) -> tuple[str, Path]:
    """Write what the trainer of a config's engine needs; return the trainer and its job file.

    Args:
        lineage: of the study.
        key: of the config.
        folder: a new one; the trainer publishes the model there.
        number: of the fold.

    Raises:
        MissingUpstreamError: if patches or split were not made.
        NoFireError: if the train part holds no fire.
        RequestError: if the engine has no trainer, the fold isn't there or the folder is.
    """
    generator = lineage.config(key).generator.resolved(lineage.config_folder(key))
    if not generator.trainer:
        raise RequestError(f"{key!r} has engine {generator.engine}, which has no trainer of its own")
    train = read_fold(lineage, number).train
    if folder.exists():
        raise RequestError(f"{folder}: is there already; name a new folder")
    folder.mkdir(parents=True)
    return generator.trainer, generator.prepare(train, folder)
