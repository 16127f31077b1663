"""Settings of engine `native`, and what the lineage asks of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from firefusion_assets.engines.physics.settings import unknown_to_physics
from firefusion_assets.engines.shared_settings import oversized_crop
from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Engine, Painter, Run
from firefusion_assets.study.models import Study

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import PatchPart


class NativeGenerator(Engine):
    """A small pixel-space diffusion model over all bands of the store, trained from scratch on the train part."""

    reads: ClassVar[tuple[str, ...]] = ("strength",)
    pipeline: ClassVar[str] = "firefusion_assets.engines.native.pipeline.NativeInpaintPipeline"

    engine: Literal["native"]
    """Which generator paints."""
    crop: int = Field(32, ge=16, le=256, multiple_of=4)
    """Height and width in px of what the model sees."""
    steps: int = Field(600, ge=1)
    """Optimizer steps on the real fires."""
    pretrain: Literal["physics"] | None = None
    """`physics`: learn first, in as many steps, from fires that engine `physics` paints into the train part's ground.
    For DN of Landsat-8 with few real fires."""
    batch_size: int = Field(8, ge=1)
    """Crops a step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Adam's, after a short warm-up."""
    channels: tuple[int, ...] = Field((24, 48, 64), min_length=2)
    """Channels of the U-Net's levels, each a multiple of 8."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between checkpoints that an interrupted training resumes from."""
    seed: int = 1
    """Seed of weights, crops and noise."""

    @field_validator("channels")
    @classmethod
    def _channels_fit_the_norm(cls, channels: tuple[int, ...]) -> tuple[int, ...]:
        if any(width % 8 for width in channels):
            raise ValueError("each must be a multiple of 8 (group normalisation)")
        return channels

    @model_validator(mode="after")
    def _crop_fits_the_levels(self) -> Self:
        if self.crop % 2 ** (len(self.channels) - 1):
            raise ValueError(f"crop: must be a multiple of {2 ** (len(self.channels) - 1)} for these channels")
        return self

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say so where patches are smaller than the crop."""
        yield from oversized_crop(self.crop, study)
        if self.pretrain == "physics":
            yield from unknown_to_physics(study, "generator.pretrain")

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Train the diffusion model; see `fitting.fit`."""
        from firefusion_assets.engines.native.fitting import fit

        return fit(self, train, work, run.progress)

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> Painter:
        """Return the painter of a trained pipeline."""
        from firefusion_assets.engines.native.painter import NativePainter

        return NativePainter(folder, sampling.steps, sampling.strength)
