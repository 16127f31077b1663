"""The models behind a config's `generator`: what paints, and how it is fitted. Each field says what it is."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from firefusion_assets.study.base_models import local_folder
from firefusion_assets.study.strict import StrictModel


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


def _bands_differ(composite: tuple[str, str, str]) -> tuple[str, str, str]:
    if len(set(composite)) < 3:
        raise ValueError("each band may stand in one place only")
    return composite


Composite = Annotated[tuple[str, str, str], AfterValidator(_bands_differ)]
"""Three bands of the store as red, green and blue."""


class PriorPreservation(StrictModel):
    """DreamBooth's prior preservation: images that the pretrained model makes of the class are learned beside."""

    class_prompt: str = Field(min_length=1)
    """Prompt of the class images, for example `satellite imagery`."""
    num_class_images: int = Field(200, ge=1)
    """Class images to make: random masks on fire-free ground of the train part, painted by the pretrained model."""
    prior_loss_weight: float = Field(1.0, gt=0)
    """Weight of their loss."""


class Lora(StrictModel):
    """Low-rank adapters instead of full fine-tuning (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(16, ge=1)
    """Rank of the update of each target."""
    alpha: int = Field(16, ge=1)
    """The update is scaled by alpha / rank."""
    target_modules: tuple[str, ...] = Field(("to_q", "to_k", "to_v", "to_out.0"), min_length=1)
    """Endings of the names of the layers that get an adapter."""
    merge: bool = True
    """Publish the whole pipeline with the adapters merged in; otherwise the adapters alone, beside the base model."""


class StableDiffusionGenerator(StrictModel):
    """Stable Diffusion inpainting (1.5 and 2 families) on the 7-6-2 composite, pretrained or fine-tuned."""

    engine: Literal["stable-diffusion"]
    """Which generator paints."""
    base_model: str = "stable-diffusion-v1-5/stable-diffusion-inpainting"
    """Hub id of an inpainting checkpoint, or a local folder (relative to the study folder) in diffusers' layout."""
    revision: str = "main"
    """Commit, tag or branch of a hub id; a commit makes the model reproducible."""
    method: Literal["none", "dreambooth", "lora"] = "dreambooth"
    """`none` paints with the pretrained model; `dreambooth` fine-tunes the whole U-Net; `lora` adapters in it."""
    train_text_encoder: bool = False
    """Fine-tune the text encoder too (`dreambooth`)."""
    prior_preservation: PriorPreservation | None = None
    """Learn class images beside the fires (`dreambooth`, `lora`)."""
    lora: Lora = Lora()
    """Settings of `lora`."""
    instance_prompt: str = Field("satellite imagery, wildfire, landsat-8", min_length=1)
    """Prompt that the fires of the train part are learned with."""
    composite: Composite = ("B7", "B6", "B2")
    """Bands that the model sees as red, green and blue."""
    stretch: Literal["linear", "percentile", "asinh"] = "asinh"
    """How DN become the model's range; `stretch.py` has the equations."""
    companion_bands: Literal["background", "regressed"] = "regressed"
    """The other bands inside a painted label: the background's, or predicted from the composite."""
    area: Literal["crop", "patch"] = "crop"
    """`crop` enlarges a window around each fire to `resolution`; `patch` the whole patch."""
    crop: int = Field(64, ge=8, le=1024)
    """Height and width in px of the window around a fire that `area: crop` enlarges; larger fires are painted in
    overlapping windows."""
    resolution: int = Field(512, ge=64, le=1024, multiple_of=8)
    """Height and width that the model works at; a whole multiple of the window."""
    training_masks: Literal["annotated", "random", "mixed"] = "annotated"
    """What is hidden in training: real fires dilated, random rectangles and ellipses, or half of each."""
    loss_area: Literal["edit", "latent"] = "edit"
    """Where the loss is taken: inside the mask, or over the whole latent."""
    mask_variants: int = Field(8, ge=1)
    """Views (window, turn, mask) of each fire patch that are encoded once and learned from in turn."""
    train_batch_size: int = Field(4, ge=1)
    """Views at once."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches an optimiser step; several devices share them."""
    gradient_checkpointing: bool = False
    """Less memory, more time: activations are computed again in the backward pass."""
    learning_rate: float = Field(5e-6, gt=0)
    """AdamW's."""
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine", "polynomial"] = "constant"
    """Course of the learning rate."""
    lr_warmup_steps: int = Field(0, ge=0)
    """Optimiser steps over which it rises."""
    max_train_steps: int = Field(2000, ge=1)
    """Optimiser steps of the fine-tuning (`sampling.steps` are denoising steps)."""
    snr_gamma: float | None = Field(None, gt=0)
    """Weight the loss by min(SNR, gamma) / SNR (Hang et al. 2023, arXiv 2303.09556), 5 is usual; none by default."""
    use_ema: bool = False
    """Publish an exponential moving average of the weights."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Number format of the forward pass in training."""
    use_8bit_adam: bool = False
    """AdamW with 8-bit states (needs a GPU and the extra `adam8bit`)."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this norm."""
    checkpointing_steps: int = Field(500, ge=1)
    """Optimiser steps between checkpoints that an interrupted training resumes from."""
    checkpoints_total_limit: int = Field(1, ge=1)
    """Checkpoints kept while training."""
    validation_steps: int | None = Field(None, ge=1)
    """Optimiser steps between validation pictures; none by default."""
    seed: int = 1
    """Seed of views, noise and timesteps."""

    def window(self, patch_size: int) -> int:
        """Return height and width in px of what is enlarged to `resolution`."""
        return self.crop if self.area == "crop" else patch_size

    @model_validator(mode="after")
    def _settings_go_together(self) -> Self:
        problems = []
        if self.area == "crop" and self.resolution % self.crop:
            problems.append(f"resolution: {self.resolution} is not a multiple of crop ({self.crop})")
        if self.train_text_encoder and self.method != "dreambooth":
            problems.append(f"train_text_encoder: needs method dreambooth, not {self.method}")
        if self.prior_preservation is not None and self.method == "none":
            problems.append("prior_preservation: method none doesn't train; leave it out")
        if self.lora != Lora() and self.method != "lora":
            problems.append(f"lora: needs method lora, not {self.method}")
        if self.lr_warmup_steps > 0 and self.lr_scheduler == "constant":
            problems.append("lr_warmup_steps: lr_scheduler constant has no warm-up; use constant_with_warmup")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class FilesGenerator(StrictModel):
    """Images painted elsewhere, for example in a web UI, are taken in."""

    engine: Literal["files"]
    """Which generator paints."""
    images: str
    """Folder of the painted images, relative to the study folder: RGB as PNG of 8 bit or TIFF of 8 or 16 bit, square,
    a patch high or a whole multiple of that. A row is found by how a name starts: as handed out (`row-000012`) or
    `<background>-<mask>`."""
    table: str | None = None
    """CSV with columns row (number in the plan) and image (name in `images`), which then decides instead of names;
    images that it leaves out are not used."""
    composite: Composite = ("B7", "B6", "B2")
    """Bands that red, green and blue of an image stand for."""
    companion_bands: Literal["background", "regressed"] = "regressed"
    """The other bands inside a painted label: the background's, or predicted from the composite."""


Generator = Annotated[
    NoGenerator | CopyPasteGenerator | NativeGenerator | StableDiffusionGenerator | FilesGenerator,
    Field(discriminator="engine"),
]


def resolved(generator: Generator, study_folder: Path) -> Generator:
    """Return the settings with paths of the study's files absolute, as engines need them."""
    match generator:
        case StableDiffusionGenerator():
            folder = local_folder(generator.base_model, study_folder)
            return generator.model_copy(update={"base_model": str(folder)} if folder else {})
        case FilesGenerator():
            paths = {"images": generator.images, "table": generator.table}
            return generator.model_copy(
                update={name: path and str((study_folder / path).resolve()) for name, path in paths.items()}
            )
    return generator
