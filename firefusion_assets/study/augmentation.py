"""The model behind an augmentation config: what is added to the real training data, and nothing else."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from firefusion_assets.study.engine import Engine
from firefusion_assets.study.masks import Masks
from firefusion_assets.study.registry import known
from firefusion_assets.study.rule import Auto, Rule
from firefusion_assets.study.strict import Slug, StrictModel

Scheduler = Literal[
    "ddim", "ddpm", "pndm", "lms", "heun", "euler", "euler-a", "dpmsolver++", "dpmsolver++-karras", "unipc"
]
"""Samplers by the names that people know them by."""


class Sampling(StrictModel):
    """How many patches are painted, on what, and how."""

    images: int = Field(0, ge=0)
    """Accepted synthetic patches to reach, in each fold."""
    max_tries: int | None = Field(None, ge=1)
    """Most patches to paint for that, in each fold; 4 times `images` by default."""
    pairing: Literal["pairs", "complete"] = "pairs"
    """`pairs`: background i with mask i; `complete`: every background with every mask."""
    seeds_per_pair: int = Field(1, ge=1)
    """How often a background is painted with the same mask in the same place, each time with another seed."""
    steps: int = Field(25, ge=1)
    """Denoising steps of a diffusion engine."""
    batch_size: int = Field(16, ge=1)
    """Patches painted at once; also the unit that a resumed run goes on from."""
    seed: int = 1
    """Seed of pairing, placing and painting."""
    scheduler: Scheduler = "ddim"
    """Sampler of a pretrained diffusion model."""
    guidance_scale: float | None = Field(None, ge=0)
    """Classifier-free guidance; 1 and less switch it off. By default 7.5 for a pretrained model, which has to be led
    to fires, and 1 for a fine-tuned one, which knows nothing else."""
    strength: float = Field(1.0, gt=0, le=1)
    """Denoising strength: 1 starts from noise alone, less keeps some of the background."""
    prompts: tuple[str, ...] = ()
    """Prompts, drawn by each patch's seed; by default the generator's instance prompt."""
    negative_prompts: tuple[str, ...] = ()
    """Negative prompts, drawn likewise."""
    timestep_spacing: Literal["trailing", "leading", "linspace"] = "trailing"
    """Which noise levels the steps have: only `trailing` and `linspace` begin at pure noise."""
    masked_content: Literal["original", "fill", "latent-nothing"] = "original"
    """What a `strength` below 1 starts from inside the mask, noise apart: the background, the ground nearest to it, or
    latents of 0."""
    mixed_precision: Literal["no", "tf32", "fp16", "bf16"] = "no"
    """Number format that a pretrained model paints in; the VAE keeps float32."""
    compile: bool = False
    """Compile the network before painting (torch.compile)."""
    channels_last: bool = False
    """Memory layout of the networks that tensor cores read faster."""
    attention_slicing: bool = False
    """Less memory, more time."""

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

    @field_validator("masked_content")
    @classmethod
    def _content_is_seen(cls, content: str, others: ValidationInfo) -> str:
        if content != "original" and others.data.get("strength", 1.0) == 1:
            raise ValueError("makes no difference with strength 1, which starts from noise alone; lower strength")
        return content


class Screening(StrictModel):
    """Which synthetic patches, and which of their pixels, may be learned from."""

    detectors: tuple[Literal["schroeder", "murphy", "kumar-roy", "intersection", "voting"], ...] = ()
    """Fire detectors, any of which may confirm a painted pixel as fire (`voting`: at least two of the three,
    `intersection`: all); without any, a changed pixel counts as painted."""
    min_changed: Annotated[float, Field(ge=0, le=1)] | Auto = 0.5
    """Least share of the label that must differ from the background; few pixels may miss it by chance. `auto`: what
    real fires reach over the median of the ground around them, at most 0.95, and 0.5 where fewer than 8 burn."""
    min_detected: Annotated[float, Field(ge=0, le=1)] | Auto = 0.25
    """Least share of the label that the detectors must confirm; few pixels may miss it by chance. `auto`: what real
    fires reach, at most 0.95, and 0.25 where fewer than 8 burn."""
    quantile: float = Field(0.98, gt=0.5, lt=1)
    """For `auto`: share of the train part's real fires of 20 px and more that reach it."""
    fires: Literal["together", "ignore", "reject"] = "together"
    """Whether each fire of a label (its connected pixels) has to reach both shares by itself. `together`: only all of
    them have to; `ignore`: pixels of one that doesn't are ignored, and without any that does the patch is rejected;
    `reject`: one that doesn't rejects the patch."""
    rules: tuple[Rule, ...] = ()
    """More rules that a patch has to pass, each once."""
    label: Literal["mask", "refined", "loss-filtered"] = "refined"
    """`mask`: the label mask is the label; `refined`: only its confirmed pixels, the rest is ignored; `loss-filtered`:
    the mask, but what a network trained on real data alone finds wrong is ignored: painted pixels whose loss exceeds
    1.25 times the mean of their class."""
    select: Literal["all", "best", "hard"] = "all"
    """Which of the patches that pass are kept. `all`: the first ones, and no more are painted; `best` and `hard`: all
    tries are painted, and those kept on which a network trained on real data alone errs least, or most."""
    ring: int = Field(0, ge=0, le=16)
    """px of paint around the label that are ignored: where a fire fades, nobody knows where it ends."""

    @field_validator("rules")
    @classmethod
    def _rules_are_named_once(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if len({rule.rule for rule in rules}) < len(rules):
            raise ValueError("each rule may be named once")
        return rules


class Augmentation(StrictModel):
    """What one config adds to the real training data."""

    description: str = ""
    """What the config tries."""
    extends: Slug | None = None
    """Key of another config of the study whose settings this one starts from."""
    generator: Engine = Field(default_factory=lambda: known(Engine)["none"].model_validate({}))
    """What paints."""
    masks: Masks = Field(default_factory=lambda: known(Masks)[Masks.unnamed].model_validate({}))
    """Where it paints."""
    sampling: Sampling = Sampling()
    """How much it paints."""
    screening: Screening = Screening()
    """What is kept."""
    replicate_offset: int = Field(0, ge=0)
    """Number of the first replicate: two configs that differ in it alone differ by chance."""

    @property
    def asks_network(self) -> bool:
        """Whether a network trained on the real train part alone has to judge what is painted."""
        return self.sampling.images > 0 and (self.screening.select != "all" or self.screening.label == "loss-filtered")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        engine, images = self.generator.engine, self.sampling.images
        if self.generator.paints and not images:
            raise ValueError("sampling.images: 0, but the engine paints; say how many patches to add")
        if images and not self.generator.paints:
            raise ValueError(f"sampling.images: engine `{engine}` paints nothing; set 0 or choose another engine")
        readers = {
            name: [reader for reader, other in known(Engine).items() if name in other.reads]
            for name in Sampling.model_fields
            if name in self.sampling.model_fields_set
        }
        foreign = [name for name, read_by in readers.items() if read_by and engine not in read_by]
        if foreign:
            only = dict.fromkeys(reader for name in foreign for reader in readers[name])
            raise ValueError(f"sampling.{', '.join(foreign)}: only engine {', '.join(only)} reads that, not {engine}")
        if self.masks.stays and self.sampling.pairing == "complete":
            raise ValueError(
                f"sampling.pairing: {self.masks.kind} masks stay on their own patches; use `pairs`, or another "
                "masks.kind"
            )
        return self
