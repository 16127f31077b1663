"""Training one U-Net: a loop over optimizer steps that can be stopped at any moment and goes on where it was.

What a batch holds, what is minimized and what the network is stand elsewhere.
"""

import copy
import csv
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.devices import compute_device
from firefusion_assets.core.memory import device_memory
from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.core.training_loop import (
    TrainingLoop,
    learning_rate,
    move_average,
    remove_checkpoints,
)
from firefusion_assets.patchstore import Patches, PatchPart
from firefusion_assets.segmentation import metrics
from firefusion_assets.segmentation.batches import Normalisation, TrainingBatches, survey_train
from firefusion_assets.segmentation.losses import masked_loss
from firefusion_assets.segmentation.networks import build_network, start_from_class_share
from firefusion_assets.segmentation.trained import (
    RECORD_FILE,
    NetworkRecord,
    predict,
    save_network,
)
from firefusion_assets.study.models import Training

HISTORY_FILE = "history.csv"
_HISTORY_COLUMNS = ("step", "train_loss", "val_dice_micro", "val_precision", "val_recall")
# Part of a batch has other statistics, which its batch normalisation learns from: no half batches here.
_TOO_LARGE: Final = "lower training.batch_size, or use mixed_precision bf16"
_DTYPES: Final = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingJob(BaseModel):
    """Everything that one U-Net's training depends on.

    Attributes:
        base: folder of the base patch store.
        overlays: folders of what the config adds; none is a valid case.
        fold: the fold whose overlay rows are read.
        replicate: the replicate whose overlay rows are read.
        seed: of weights, batches and orientations.
        train_ids: real patches to train on; what the overlays add comes on top.
        val_ids: real patches that choose the best step.
        statistics: file with the statistics of the real patches to train on; without it they are measured again.
        repeat_fire: whether batches show real fire again where nothing is added; see `TrainingBatches`.
        training: the study's recipe.
        threshold: probability from which a pixel counts as fire in validation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Path
    overlays: tuple[Path, ...] = ()
    fold: int = 0
    replicate: int = 0
    seed: int
    train_ids: tuple[str, ...] = Field(min_length=1)
    val_ids: tuple[str, ...] = Field(min_length=1)
    statistics: Path | None = None
    repeat_fire: bool = True
    training: Training
    threshold: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _parts_are_apart(self) -> Self:
        both = sorted({*self.train_ids} & {*self.val_ids})
        if both:
            raise ValueError(f"{len(both)} patches are in both train and val, for example {both[0]!r}")
        return self

    @property
    def name(self) -> str:
        """Fold and replicate, as messages name the job."""
        return f"fold {self.fold} replicate {self.replicate}"


def train_unet(job: TrainingJob, work: Path, progress: Callable[[str], None] = lambda message: None) -> None:
    """Train one network; stopped and called again, it goes on from the last checkpoint.

    With the same number of CPU threads a resumed training writes the same bytes as an undisturbed one.
    After every `validate_every` steps, and the last, the val part is scored. With `checkpoint: best` the weights with
    the highest `dice_micro` are kept: the earlier ones of equals. Where val holds no fire there is nothing to choose
    by, and the last weights are kept.

    Args:
        job: what to train.
        work: folder that in the end holds `network.safetensors` (the kept weights), `network.json`
            (`NetworkRecord`) and `history.csv` (a row a validation; train_loss is the mean since the last).
            If it holds `network.json` already, nothing is trained.
        progress: called after each validation with its result, and at least every 20 s of training.

    Raises:
        ValueError: if no train patch has fire, the store lacks a band, or the checkpoint is another job's.
        PatchStoreError: if the stores don't hold the patches.
        FloatingPointError: if the loss stops being finite.
        DeviceMemoryError: if the device's memory can't hold a batch.
    """
    if (work / RECORD_FILE).is_file():
        remove_checkpoints(work)  # they outlive a process that is killed at the very end
        return
    work.mkdir(parents=True, exist_ok=True)
    recipe, device = job.training, compute_device()

    patches = Patches(job.base, job.overlays, job.fold, job.replicate)
    train = PatchPart(patches, [*job.train_ids, *patches.added_ids])
    val = PatchPart(Patches(job.base), job.val_ids)  # no overlay may change what chooses the step
    survey = survey_train(PatchPart(patches, job.train_ids, job.statistics), recipe.bands)
    batches = TrainingBatches(train, survey, patches.added_ids, recipe, job.seed, job.repeat_fire)

    torch.manual_seed(derive_seed(job.seed, "weights"))
    network = build_network(recipe)
    if recipe.start_from_class_share:
        start_from_class_share(network, batches.fire_pixel_share)
    network.to(device)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
    kept = network if recipe.ema_decay is None else copy.deepcopy(network)
    # A rate of 1, which the schedule multiplies.
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=recipe.weight_decay, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.mixed_precision == "fp16")
    validations = _Validations(kept, recipe.checkpoint == "last")
    loop = TrainingLoop(
        work,
        job.model_dump_json(exclude={"base", "overlays", "statistics"}),  # the stores may have moved
        recipe.steps,
        {"network": network, "kept": kept, "optimizer": optimizer, "scaler": scaler, "validations": validations},
        schedule=LambdaLR(
            optimizer,
            lambda step: learning_rate(recipe.schedule, recipe.learning_rate, step, recipe.steps, recipe.warm_up_steps),
        ),
        average=None if recipe.ema_decay is None else partial(move_average, kept, network, recipe.ema_decay),
        label=f"{job.name}: ",
        remedy="lower learning_rate",
        progress=progress,
    )
    with closing(batches.stream(loop.step, recipe.steps)) as stream:
        for step, batch in zip(loop, stream, strict=True):
            torch.manual_seed(derive_seed(job.seed, "dropout", step))  # some architectures drop out
            if not network.training:  # it was validated; going through all layers costs as much as a small one
                network.train()
            with device_memory(_TOO_LARGE):
                batch = batch.to(device)
                with torch.autocast(device.type, _DTYPES[recipe.mixed_precision], recipe.mixed_precision != "no"):
                    logits = network(survey.normalisation.scale(batch.dn))[:, 0]
                loop.descend(optimizer, masked_loss(recipe.loss, logits.float(), batch), scaler)
            if loop.due(recipe.validate_every):
                train_loss = loop.mean_loss(since=validations.last_step)
                counts = validate(kept, survey.normalisation, val, job.threshold)
                dice = validations.note(loop.step, train_loss, counts)
                loop.save()
                loop.report(train_loss, {"val Dice": dice})

    write_atomically(work / HISTORY_FILE, validations.write)
    record = NetworkRecord(
        training=recipe,
        normalisation=survey.normalisation,
        patch_size=patches.meta.patch_size,
        threshold=job.threshold,
        fold=job.fold,
        replicate=job.replicate,
        seed=job.seed,
        step=validations.kept_step,
        val_dice_micro=validations.kept_dice,
    )
    save_network(work, validations.kept_weights, record)
    remove_checkpoints(work)


def validate(network: nn.Module, normalisation: Normalisation, part: PatchPart, threshold: float) -> metrics.Counts:
    """Return the pixel counts of a network over all patches of a part."""
    network.eval()
    return metrics.total(
        [
            metrics.score(predicted, patch.label, patch.ignore)
            for _, patch, predicted in predict(network, normalisation, part, part.ids, threshold)
        ]
    )


class _Validations:
    """What the validations of a network found, and the weights to keep so far.

    Args:
        network: the network in training.
        last: whether the last weights are kept, and not the best.
    """

    def __init__(self, network: nn.Module, last: bool) -> None:
        self._network, self._last = network, last
        self.kept_step = 0
        self.kept_dice: float | None = None
        self.kept_weights: dict[str, Tensor] = {}
        self.last_step = 0
        self._history: list[list[float | None]] = []

    def note(self, step: int, train_loss: float, val: metrics.Counts) -> float | None:
        """Note a validation, keep the weights if they are to be kept so far, and return the Dice that decides."""
        dice = _deciding_dice(val)
        self._history.append([step, train_loss, dice, metrics.precision(val), metrics.recall(val)])
        self.last_step = step
        if self._last or self.kept_dice is None or (dice is not None and dice > self.kept_dice):
            self.kept_step, self.kept_dice = step, dice
            self.kept_weights = {name: value.cpu().clone() for name, value in self._network.state_dict().items()}
        return dice

    def state_dict(self) -> dict[str, Any]:
        """Return all of it, for a checkpoint."""
        kept = (self.kept_step, self.kept_dice, self.kept_weights)
        return {"history": self._history, "last_step": self.last_step, "kept": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it from a checkpoint."""
        self._history, self.last_step = state["history"], state["last_step"]
        self.kept_step, self.kept_dice, self.kept_weights = state["kept"]

    def write(self, path: Path) -> None:
        """Write a row a validation; a figure that isn't defined stays empty."""
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([_HISTORY_COLUMNS, *self._history])


def _deciding_dice(val: metrics.Counts) -> float | None:
    """Return the Dice that chooses the best step; without fire in the truth it can't tell good from bad."""
    return metrics.dice(val) if val.tp + val.fn else None
