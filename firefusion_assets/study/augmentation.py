"""The model behind an augmentation config: what is added to the real training data, and nothing else."""

from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from firefusion_assets.study.generators import Generator, NoGenerator
from firefusion_assets.study.strict import Slug, StrictModel

Scheduler = Literal[
    "ddim", "ddpm", "pndm", "lms", "heun", "euler", "euler-a", "dpmsolver++", "dpmsolver++-karras", "unipc"
]
"""Samplers by the names that people know them by."""

STABLE_DIFFUSION_SAMPLING = (
    "scheduler", "guidance_scale", "strength", "prompts", "negative_prompts", "mixed_precision", "compile",
    "channels_last", "attention_slicing",
)  # fmt: skip
"""Settings of `sampling` that only engine `stable-diffusion` reads."""


class Masks(StrictModel):
    """Where fires are painted."""

    kind: Literal["annotated", "transplanted", "box"] = "transplanted"
    """A real mask where it stands; a real mask moved to another background, flipped and turned; or a box of a
    real fire's size."""
    source: Literal["label", "schroeder", "murphy", "kumar-roy", "intersection", "voting"] = "label"
    """Whose mask of a real fire: its label, or what a fire detector sees of it (`voting`: at least two of the three,
    `intersection`: all)."""
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
    scheduler: Scheduler = "ddim"
    """Sampler of `stable-diffusion`."""
    guidance_scale: float = Field(7.5, ge=0)
    """Classifier-free guidance of `stable-diffusion`; 1 and less switch it off."""
    strength: float = Field(1.0, gt=0, le=1)
    """Denoising strength of `stable-diffusion`: 1 starts from noise alone, less keeps some of the background."""
    prompts: tuple[str, ...] = ()
    """Prompts of `stable-diffusion`, drawn by each patch's seed; by default the generator's instance prompt."""
    negative_prompts: tuple[str, ...] = ()
    """Negative prompts of `stable-diffusion`, drawn likewise."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Number format in which `stable-diffusion` paints."""
    compile: bool = False
    """Compile the network of `stable-diffusion` before painting (torch.compile)."""
    channels_last: bool = False
    """Memory layout of the networks of `stable-diffusion` that tensor cores read faster."""
    attention_slicing: bool = False
    """Less memory, more time for `stable-diffusion`."""

    @property
    def tries(self) -> int:
        """Rows of the plan."""
        return self.max_tries if self.max_tries is not None else 4 * self.images

    @field_validator("max_tries")
    @classmethod
    def _tries_suffice(cls, max_tries: int | None, others: ValidationInfo) -> int | None:
        images = others.data.get("images", 0)
        if max_tries is not None and max_tries < images:
            raise ValueError(f"is less than images ({images}): a plan has as many rows as tries")
        return max_tries

    @field_validator("strength")
    @classmethod
    def _something_is_painted(cls, strength: float, others: ValidationInfo) -> float:
        if strength * others.data.get("steps", 1) < 1:
            raise ValueError("leaves no denoising step; raise it, or steps")
        return strength


class Screening(StrictModel):
    """Which synthetic patches, and which of their pixels, may be learned from."""

    detectors: tuple[Literal["schroeder", "murphy", "kumar-roy", "intersection", "voting"], ...] = ()
    """Fire detectors, any of which may confirm a painted pixel as fire (`voting`: at least two of the three,
    `intersection`: all); without any, a changed pixel counts as painted."""
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
        foreign = [name for name in STABLE_DIFFUSION_SAMPLING if name in self.sampling.model_fields_set]
        if foreign and self.generator.engine != "stable-diffusion":
            raise ValueError(
                f"sampling.{', '.join(foreign)}: only engine stable-diffusion reads that, not {self.generator.engine}"
            )
        if self.generator.engine == "files" and not self.screening.min_changed:
            raise ValueError("screening.min_changed: 0 would accept rows of the plan that have no image; raise it")
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
