"""A fine-tuning as a file, so that a process of its own, or several, can do it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.patchstore import Patches, PatchPart


class FinetuningJob(BaseModel):
    """Everything that a fine-tuning depends on.

    Attributes:
        generator: the config's; a local `base_model` as an absolute path.
        base: folder of the base patch store.
        train_ids: the train part.
        statistics: file with the train part's statistics; without it the part is measured again.
        work: folder to fill; holds `pixels.json` already.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: StableDiffusionGenerator
    base: Path
    train_ids: tuple[str, ...] = Field(min_length=1)
    statistics: Path | None = None
    work: Path


def open_part(job: FinetuningJob) -> PatchPart:
    """Return the job's train part."""
    return PatchPart(Patches(job.base), job.train_ids, job.statistics)
