"""Settings of engine `stable-diffusion`, and what the lineage asks of it."""

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from firefusion_assets.engines.shared_settings import Composite, missing_bands, oversized_crop
from firefusion_assets.engines.stable_diffusion.base_models import config_problems, hub_problems, local_folder
from firefusion_assets.engines.stable_diffusion.method_settings import Lora, PriorPreservation
from firefusion_assets.landsat.bands import FALSE_COLOUR
from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Engine, Painter, Progress, Run
from firefusion_assets.study.models import Study

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import PatchPart


_VERSION: Final = 2
"""Raise it when the code makes another model from the same settings."""
_REVISIONS: Final = {"base_model": "revision", "controlnet": "controlnet_revision"}
"""Keys of models, and of their revisions."""
PRETRAINED_GUIDANCE: Final = 7.5
_NOT_IN_THE_MODEL: Final = {"checkpointing_steps", "checkpoints_total_limit"}
"""Settings that change how safe a training is and not what comes of it."""


class StableDiffusionGenerator(Engine):
    """Stable Diffusion inpainting (1.5, 2 and XL families) on the 7-6-2 composite, pretrained or fine-tuned."""

    reads: ClassVar[tuple[str, ...]] = (
        "scheduler", "guidance_scale", "strength", "prompts", "negative_prompts", "timestep_spacing", "masked_content",
        "mixed_precision", "compile", "channels_last", "attention_slicing",
    )  # fmt: skip
    modules: ClassVar[tuple[str, ...]] = ("transformers", "peft")
    requirement: ClassVar[str] = "firefusion-assets[stable-diffusion]"
    pipeline: ClassVar[str] = "diffusers.AutoPipelineForInpainting"
    trainer: ClassVar[str] = "firefusion_assets.engines.stable_diffusion.fitting:train"

    engine: Literal["stable-diffusion"]
    """Which generator paints."""
    base_model: str = "stable-diffusion-v1-5/stable-diffusion-inpainting"
    """Hub id of an inpainting checkpoint, or a local folder (relative to the study folder) in diffusers' layout."""
    revision: str = "main"
    """Commit, tag or branch of a hub id; a commit makes the model reproducible."""
    controlnet: str | None = None
    """Hub id or local folder of a ControlNet for inpainting, which shows a text-to-image `base_model` (SD 1.5 or 2)
    what is around a fire. It isn't trained itself."""
    controlnet_revision: str = "main"
    """Commit, tag or branch of a ControlNet's hub id."""
    method: Literal["none", "dreambooth", "lora"] = "dreambooth"
    """`none` paints with the pretrained model; `dreambooth` fine-tunes the whole U-Net; `lora` adapters in it."""
    train_text_encoder: bool = False
    """Fine-tune the text encoder too (`dreambooth`, not of SDXL)."""
    prior_preservation: PriorPreservation | None = None
    """Learn class images along with the fires (`dreambooth`, `lora`)."""
    lora: Lora = Lora()
    """Settings of `lora`."""
    instance_prompt: str = Field("satellite imagery, wildfire, landsat-8", min_length=1)
    """Prompt that the fires of the train part are learned with."""
    prompt_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the views that are learned with an empty prompt, which guidance compares with (Ho and Salimans 2022,
    arXiv 2207.12598)."""
    composite: Composite = FALSE_COLOUR
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
    """Batches an optimizer step; several devices share them."""
    gradient_checkpointing: bool = False
    """Less memory, more time: activations are computed again in the backward pass."""
    learning_rate: float = Field(5e-6, gt=0)
    """AdamW's."""
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine", "polynomial"] = "constant"
    """Course of the learning rate."""
    lr_warmup_steps: int = Field(0, ge=0)
    """Optimizer steps over which it rises."""
    max_train_steps: int = Field(2000, ge=1)
    """Optimizer steps of the fine-tuning (`sampling.steps` are denoising steps)."""
    snr_gamma: float | None = Field(None, gt=0)
    """Weight the loss by min(SNR, gamma) / SNR (Hang et al. 2023, arXiv 2303.09556), 5 is usual; none by default."""
    use_ema: bool = False
    """Publish an exponential moving average of the weights."""
    mixed_precision: Literal["no", "tf32", "fp16", "bf16"] = "no"
    """Number format of the forward pass in training; the VAE keeps float32."""
    use_8bit_adam: bool = False
    """AdamW with 8-bit states (needs a GPU and the extra `adam8bit`)."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this norm."""
    checkpointing_steps: int = Field(500, ge=1)
    """Optimizer steps between checkpoints that an interrupted training resumes from."""
    checkpoints_total_limit: int = Field(1, ge=1)
    """Checkpoints kept while training."""
    validation_steps: int | None = Field(None, ge=1)
    """Optimizer steps between validation pictures; none by default."""
    seed: int = 1
    """Seed of views, noise and timesteps."""

    def guided(self, sampling: Sampling) -> Sampling:
        """Return how to paint, with the guidance that the method has by default; `docs/design.md` says why."""
        if sampling.guidance_scale is not None:
            return sampling
        return sampling.model_copy(update={"guidance_scale": PRETRAINED_GUIDANCE if self.method == "none" else 1.0})

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
        if self.controlnet is not None and not self.lora.merge:
            problems.append("lora.merge: adapters alone would be published without the controlnet; leave it out")
        if self.lr_warmup_steps > 0 and self.lr_scheduler == "constant":
            problems.append("lr_warmup_steps: lr_scheduler constant has no warm-up; use constant_with_warmup")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @classmethod
    def broken_files(cls, settings: Mapping[str, Any], folder: Path) -> Iterator[str]:
        """Say what keeps a local base model or ControlNet from being used."""
        yield from config_problems(settings, folder)

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say which bands are missing, and which sizes don't go into each other."""
        yield from missing_bands(self.composite, study)
        window = self.window(study.dataset.patch_size)
        if self.resolution % window:
            yield f"generator.resolution: {self.resolution} is not a multiple of the window ({window} px)"
        yield from oversized_crop(self.crop, study)

    def resolved(self, folder: Path) -> Self:
        """Return the settings with the paths of a local base model and ControlNet absolute."""
        return self.model_copy(update={key: str(local) for key, local in self._local(folder).items()})

    def unreachable(self, progress: Progress) -> Iterator[str]:
        """Say why models can't be had from the hub, or don't go together; local ones are looked at with the config."""
        named = {key: (getattr(self, key), getattr(self, revision)) for key, revision in _REVISIONS.items()}
        return hub_problems(named, self.train_text_encoder, progress)

    def problems(self, sampling: Sampling, fitting: bool) -> Iterator[str]:
        """Say what needs a GPU, or another number of them."""
        import torch

        gpus = torch.cuda.device_count()
        if sampling.mixed_precision == "fp16" and not gpus and not torch.backends.mps.is_available():
            yield "sampling.mixed_precision: fp16 needs a GPU; use bf16 or no"
        if not fitting or self.method == "none":
            return
        if self.mixed_precision == "fp16" and not gpus:
            yield "generator.mixed_precision: fp16 needs a GPU; use bf16 or no"
        if self.use_8bit_adam and (not gpus or find_spec("bitsandbytes") is None):
            yield "generator.use_8bit_adam: needs a GPU and bitsandbytes; pip install 'firefusion-assets[adam8bit]'"
        if self.gradient_accumulation_steps % max(1, gpus):
            yield (
                f"generator.gradient_accumulation_steps: {self.gradient_accumulation_steps} can't be shared out over "
                f"{gpus} GPUs; make it a multiple, or lower resources.finetuned_model.gpus in study.yaml"
            )

    def fingerprint_part(self, folder: Path, hash_folder: Callable[[Path], str]) -> Any:
        """Return the settings that make a model; the contents of local models stand for their names."""
        settings = self.model_dump(mode="json", exclude=_NOT_IN_THE_MODEL) | {"version": _VERSION}
        for key, local in self._local(folder).items():
            settings |= {key: hash_folder(local), _REVISIONS[key]: None}
        if self.controlnet is None:  # as before there was one
            del settings["controlnet"], settings["controlnet_revision"]
        return settings

    def _local(self, folder: Path) -> dict[str, Path]:
        """Return the folders of models that are on this machine, by key."""
        named = {key: getattr(self, key) for key in _REVISIONS}
        folders = {key: local_folder(name, folder) for key, name in named.items() if name is not None}
        return {key: local for key, local in folders.items() if local is not None}

    def prepare(self, train: "PatchPart", work: Path) -> Path:
        """Write constants and the trainer's job file; see `fitting.prepare`."""
        from firefusion_assets.engines.stable_diffusion.fitting import prepare

        return prepare(self, train, work)

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Fit constants, and fine-tune where the method does; see `fitting.fit`."""
        from firefusion_assets.engines.stable_diffusion.fitting import fit

        return fit(self, train, work, run)

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> Painter:
        """Return the painter of a pretrained or fine-tuned model."""
        from firefusion_assets.engines.stable_diffusion.painter import StableDiffusionPainter

        return StableDiffusionPainter(self, folder, self.guided(sampling))

    def sheet_sampling(self) -> Mapping[str, Any]:
        """Return the number format of the fitting: a picture must not need more memory than that did."""
        return {"mixed_precision": self.mixed_precision}

    def shown_bands(self) -> tuple[str, ...]:
        """Return the composite."""
        return self.composite
