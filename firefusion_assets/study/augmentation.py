"""The model behind an augmentation config: what is added to the real training data, and nothing else."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from firefusion_assets.study.models import Slug, StrictModel


class NoGenerator(StrictModel):
    """Nothing is added: the control."""

    engine: Literal["none"] = "none"
    """Which generator paints."""


class CopyPasteGenerator(StrictModel):
    """A real fire of the train part is transplanted: the control to beat."""

    engine: Literal["copy-paste"]
    """Which generator paints."""


class NativeGenerator(StrictModel):
    """A small pixel-space diffusion model over all bands of the store, trained from scratch on the train part."""

    engine: Literal["native"]
    """Which generator paints."""
    crop: int = Field(32, ge=16, le=256, multiple_of=4)
    """Height and width in px of what the model sees."""
    steps: int = Field(600, ge=1)
    """Optimiser steps."""
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


Generator = Annotated[NoGenerator | CopyPasteGenerator | NativeGenerator, Field(discriminator="engine")]


class Masks(StrictModel):
    """Where fires are painted."""

    kind: Literal["annotated", "transplanted", "box"] = "transplanted"
    """A real mask where it stands; a real mask moved to another background, flipped and turned; or a box of a
    real fire's size."""
    dilation: int = Field(3, ge=1, le=16)
    """px by which the edit mask is larger than the label mask."""


class Sampling(StrictModel):
    """How many patches are painted, on what, and how."""

    images: int = Field(0, ge=0)
    """Accepted synthetic patches to reach, in each fold."""
    max_tries: int | None = Field(None, ge=1)
    """Most patches to paint for that, in each fold; 4 times `images` by default."""
    pairing: Literal["pairs", "complete"] = "pairs"
    """`pairs`: background i with mask i; `complete`: every background with every mask."""
    steps: int = Field(25, ge=1)
    """Denoising steps of a diffusion engine."""
    batch_size: int = Field(16, ge=1)
    """Patches painted at once; also the unit that a resumed run goes on from."""
    seed: int = 1
    """Seed of pairing, placing and painting."""

    @property
    def tries(self) -> int:
        """Rows of the plan."""
        return self.max_tries if self.max_tries is not None else 4 * self.images

    @model_validator(mode="after")
    def _tries_suffice(self) -> Self:
        if self.tries < self.images:
            raise ValueError(f"max_tries: {self.max_tries} is less than images ({self.images})")
        return self


class Screening(StrictModel):
    """Which synthetic patches, and which of their pixels, may be learned from."""

    detectors: tuple[Literal["murphy"], ...] = ()
    """Fire detectors that decide whether a painted pixel is fire; without any, a changed pixel counts as painted."""
    min_changed: float = Field(0.5, ge=0, le=1)
    """Least share of the label that must differ from the background."""
    min_detected: float = Field(0.25, ge=0, le=1)
    """Least share of the label that the detectors must confirm."""
    label: Literal["mask", "refined"] = "refined"
    """`mask`: the label mask is the label; `refined`: only its confirmed pixels, the rest is ignored."""


class Augmentation(StrictModel):
    """What one config adds to the real training data."""

    description: str = ""
    """What the config tries."""
    extends: Slug | None = None
    """Key of another config of the study whose settings this one starts from."""
    generator: Generator = NoGenerator()
    """What paints."""
    masks: Masks = Masks()
    """Where it paints."""
    sampling: Sampling = Sampling()
    """How much it paints."""
    screening: Screening = Screening()
    """What is kept."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        painting = self.generator.engine != "none"
        if painting and self.sampling.images == 0:
            raise ValueError("sampling.images: 0, but the engine paints; say how many patches to add")
        if not painting and self.sampling.images:
            raise ValueError("sampling.images: engine `none` paints nothing; set 0 or choose another engine")
        if self.masks.kind == "annotated" and self.generator.engine == "copy-paste":
            raise ValueError(
                "masks.kind: copy-paste would add a fire to the one that burns under an annotated mask; "
                "use transplanted or box"
            )
        if self.masks.kind == "annotated" and self.sampling.pairing == "complete":
            raise ValueError(
                "sampling.pairing: an annotated mask stays on its own patch; use `pairs`, or masks.kind: transplanted"
            )
        return self
