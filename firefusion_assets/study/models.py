"""The models behind study.yaml: split, training, evaluation and report. Each field says what it is."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from firefusion_assets.landsat.bands import FALSE_COLOUR
from firefusion_assets.study.resources import Resources
from firefusion_assets.study.source import Source
from firefusion_assets.study.strict import Slug, StrictModel

THESIS_UNET = "unet"
SMP_ARCHITECTURES = (
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet",
    "segformer", "dpt",
)  # fmt: skip
"""Names that `segmentation_models_pytorch.create_model` knows; written ``smp-NAME`` in a study."""

FEW_GROUPS = 10
"""Evaluated groups with fire below which an interval is called unreliable."""


class Split(StrictModel):
    """How groups become train, validation and test part."""

    by: Literal["group", "patch"] = "group"
    """`patch` is for tiny sets: neighbours of one fire may fall on both sides, and every report says so."""
    folds: int = Field(1, ge=1, le=20)
    """1: one train / val / test assignment; 3 or more: each group is in the test part of one fold."""
    seed: int = 187
    """Seed of the assignment."""
    val_share: float = Field(0.2, gt=0, lt=0.5)
    """Share of the fire pixels in the validation part: of all, or with several folds of what a fold doesn't test."""
    test_share: float = Field(0.2, ge=0, lt=1)
    """Share of the fire pixels in the test part, with one fold; 0 makes none and needs `evaluation.part: val`."""
    train_fire_patches: int | None = Field(None, ge=1)
    """Burning patches that each train part keeps, a smaller number a part of a larger one; by default all. What is
    held back reaches nothing but engines that ask for it."""

    @field_validator("folds")
    @classmethod
    def _folds_leave_a_train_part(cls, folds: int) -> int:
        if folds == 2:
            raise ValueError("2 folds leave too little to train on; use 1, or 3 and more")
        return folds

    @model_validator(mode="after")
    def _a_train_part_is_left(self) -> Self:
        if self.folds == 1 and self.val_share + self.test_share > 0.9:
            raise ValueError("val_share and test_share leave less than a tenth to train on; lower them")
        return self

    @model_validator(mode="after")
    def _folds_have_a_test_part(self) -> Self:
        if self.folds > 1 and self.test_share == 0:
            raise ValueError(f"test_share: 0 needs folds: 1; with {self.folds} folds each group is tested once")
        return self


class Backgrounds(StrictModel):
    """Which fire-free patches fires may be painted on."""

    min_clear: float = Field(0.8, ge=0, le=1)
    """Least share of a patch's pixels with data that are neither cloud nor cirrus nor cloud shadow: by the product's
    quality band, else by thresholds on reflectance; what is unknown counts as clear."""
    max_water: float = Field(0.5, ge=0, le=1)
    """Largest share of them that is water."""
    max_fill: float = Field(0.5, ge=0, lt=1)
    """Largest share of a patch's pixels that hold no data."""


class Replicates(StrictModel):
    """How often everything that is drawn is drawn anew: plan, paint and training of each config, in each fold."""

    count: int = Field(1, ge=1, le=1000)
    """Replicates of every config; what is claimed rests on their number."""
    seed: int = 187
    """Seed of the trainings."""
    refit: bool = False
    """Whether each replicate's paint comes from a generator fitted for it alone; otherwise all of a fold share one,
    and the report's claims hold given this model."""


class Training(StrictModel):
    """How every U-Net of the study is trained. No augmentation config changes it."""

    bands: tuple[str, ...] = Field(min_length=1)
    """The bands that the network sees, by name, in this order."""
    architecture: str = THESIS_UNET
    """`unet` (the thesis'), or `smp-NAME` for any architecture of segmentation-models-pytorch."""
    filters: int = Field(64, ge=1)
    """Filters of the first level of the thesis' U-Net; each level doubles them."""
    encoder: str = "resnet18"
    """Encoder of an `smp-NAME` architecture."""
    encoder_weights: str | None = None
    """Pretrained weights of that encoder, for example `imagenet`; none by default."""
    steps: int = Field(4000, ge=1)
    """Optimizer steps, the same for every config."""
    batch_size: int = Field(8, ge=2)
    """Patches a step."""
    fire_share: float = Field(0.25, gt=0, lt=1)
    """Share of a batch that holds real fire patches."""
    extra_share: float = Field(0.25, gt=0, lt=1)
    """Share of a batch that holds what the config adds; real fire patches again where it adds nothing."""
    learning_rate: float = Field(5e-3, gt=0)
    """AdamW's, at its highest; large networks want less."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate goes on after the warm-up: as it is, or along a cosine down to 0 at the last step."""
    warm_up_steps: int = Field(20, ge=0)
    """Steps over which the learning rate rises."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's; 0 makes it Adam."""
    loss: Literal["bce", "dice", "focal", "tversky"] = "bce"
    """What is minimized, over the pixels that aren't ignored: binary cross-entropy, Dice loss, focal loss or Tversky
    loss."""
    start_from_class_share: bool = True
    """Whether the network begins by predicting everywhere the share of fire pixels that batches have."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Decay a step of the averaged weights that are then validated and kept; none by default."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights are kept: those with the highest Dice on the val part, or those of the last step."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Number format of the network's inner values in training."""
    validate_every: int = Field(100, ge=1)
    """Steps between validations; each also writes a checkpoint."""

    @property
    def batch_composition(self) -> tuple[int, int, int]:
        """Fire-free, fire and extra patches in each batch; at least one of each where the batch is that large."""
        fire = max(1, round(self.batch_size * self.fire_share))
        extra = max(1, round(self.batch_size * self.extra_share)) if self.batch_size > 2 else 0
        return self.batch_size - fire - extra, fire, extra

    @field_validator("architecture")
    @classmethod
    def _architecture_is_known(cls, architecture: str) -> str:
        known = [THESIS_UNET, *(f"smp-{name}" for name in SMP_ARCHITECTURES)]
        if architecture not in known:
            raise ValueError(f"unknown; known are {', '.join(known)}")
        return architecture

    @model_validator(mode="after")
    def _fire_free_patches_have_room(self) -> Self:
        if self.batch_composition[0] < 1:
            raise ValueError("fire_share and extra_share leave no room for fire-free patches in a batch")
        return self


class Evaluation(StrictModel):
    """How predictions become metrics."""

    threshold: float = Field(0.5, gt=0, lt=1)
    """Probability from which a pixel counts as fire."""
    part: Literal["test", "val"] = "test"
    """Where all metrics come from. `val` is for replications: the checkpoint was chosen on the same patches, so the
    figures are no valid estimate, and the report says so."""


class ReportSettings(StrictModel):
    """What the report shows."""

    baseline: Slug = "baseline"
    """Key of the augmentation config that the others are compared with."""
    contrasts: tuple[tuple[Slug, Slug], ...] | None = None
    """Pairs of configs, named before anything is measured, of which something may be claimed: the fewer, the fewer
    replicates they need. By default each config against the baseline, and generators against configs that copy."""
    headline: Literal["dice_micro", "dice_batch_mean"] = "dice_micro"
    """The Dice that configs are compared by: over the pixels of all patches, or the mean over batches of 8 with fire
    (the thesis' figure; false alarms elsewhere cost nothing, so nothing is claimed from it)."""
    title: str = ""
    """Heading of the report, before everything else; by default `NAME: does synthetic training data help?`."""


class Automation(StrictModel):
    """What Dagster does by itself while its daemon runs."""

    enabled: bool = False
    """Whether schedule and sensors start turned on; the UI can turn each of them on and off."""
    max_hours: float = Field(8, gt=0)
    """Past cost of what one look for changes may start."""


class Study(StrictModel):
    """One data set, one training recipe, and a ladder of augmentation configs to compare."""

    name: Slug
    """Name of the study."""
    description: str = ""
    """What the study asks."""
    owners: tuple[Annotated[str, Field(pattern=r"^(team:\w+|[^@\s]+@[^@\s]+\.[^@\s]+)$")], ...] = ()
    """Who answers for it: email addresses, or `team:NAME`; Dagster shows them with each asset."""
    extends: str | None = None
    """Folder of another study, relative to this one's, whose settings and configs this one starts from; without a
    `dataset` of its own it shares that study's patches."""
    dataset: Source
    """Where the patches come from."""
    split: Split = Split()
    """How they are split."""
    backgrounds: Backgrounds = Backgrounds()
    """What is painted on."""
    training: Training
    """How the U-Nets are trained."""
    replicates: Replicates = Replicates()
    """How often that is repeated."""
    evaluation: Evaluation = Evaluation()
    """How they are measured."""
    report: ReportSettings = ReportSettings()
    """How the report looks."""
    automation: Automation = Automation()
    """What runs by itself."""
    resources: Resources = Resources()
    """What steps ask executors for."""

    @property
    def composite(self) -> tuple[str, ...]:
        """The bands that pictures show: three as red, green and blue, or one in grey."""
        if self.dataset.composite is not None:
            return self.dataset.composite
        if self.dataset.landsat and {*FALSE_COLOUR} <= {*self.dataset.bands}:
            return FALSE_COLOUR
        return self.training.bands[:3] if len(self.training.bands) >= 3 else self.training.bands[:1]

    @model_validator(mode="after")
    def _sections_go_together(self) -> Self:
        problems = []
        missing = [band for band in self.training.bands if band not in self.dataset.bands]
        if missing:
            there = ", ".join(self.dataset.bands)
            problems.append(f"training.bands: {', '.join(missing)} not among dataset.bands, which are {there}")
        if self.split.test_share == 0 and self.evaluation.part == "test":
            problems.append(
                "split.test_share: 0 leaves no test part to evaluate on; set a share, or for a replication "
                "evaluation.part: val"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self
