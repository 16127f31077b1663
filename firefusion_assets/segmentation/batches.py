"""What the network sees in training: normalisation constants, and batches of fixed composition.

Which patches a step sees follows from the seed and the step alone: a resumed training needs no random state.
Reading and drawing belong here; loss and optimizer do not.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from math import sqrt
from typing import NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor

from firefusion_assets.core.devices import moved
from firefusion_assets.core.orientation import ORIENTATIONS
from firefusion_assets.core.prefetch import ahead
from firefusion_assets.core.seeding import cycled_index, derive_seed
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.models import Training


class Normalisation(BaseModel):
    """Constants that bring DN to about zero mean and unit variance.

    Attributes:
        bands: band names, in the order that the network sees.
        mean: mean DN of each band.
        std: standard deviation of each band's DN.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _one_of_each_a_band(self) -> Self:
        if not len(self.bands) == len(self.mean) == len(self.std):
            raise ValueError("bands, mean and std: one of each for every band")
        return self

    def scale(self, dn: Tensor) -> Tensor:
        """Return float32 (N, C, H, W) of uint16 DN (N, C, H, W) on one device; fill (DN 0 in all bands) gives 0."""
        mean, std = (torch.tensor(values, device=dn.device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        values = dn.to(torch.float32)
        return torch.where((values > 0).any(dim=1, keepdim=True), (values - mean) / std, 0.0)


class TrainSurvey(NamedTuple):
    """What one look at the real patches of a train part tells.

    Attributes:
        normalisation: constants of their valid pixels.
        fire_pixel_share: share of all of them with fire.
        burning_pixel_share: share of those with fire in the patches that burn, on average.
        fire: patches with at least one fire pixel that isn't ignored.
        fire_free: the others.
    """

    normalisation: Normalisation
    fire_pixel_share: float
    burning_pixel_share: float
    fire: list[str]
    fire_free: list[str]


def survey_train(train: PatchPart, bands: Sequence[str]) -> TrainSurvey:
    """Return what the statistics of a train part's real patches say of some bands.

    Args:
        train: the real patches.
        bands: names of the bands to fit.

    Raises:
        LeakError: if the part's kept statistics are another part's.
        ValueError: if the store lacks a band, or no patch has fire.
    """
    rows, known = train.meta.band_rows(bands), train.statistics
    if not known.fire:
        raise ValueError(f"none of {len(train)} train patches has a fire pixel: there is nothing to learn from")
    n, sums = known.n_pixels, [(known.total[row], known.squares[row]) for row in rows]
    normalisation = Normalisation(
        bands=tuple(bands),
        mean=tuple(total / n for total, _ in sums),
        # 1 DN: a constant band stays finite
        std=tuple(max(sqrt((squares * n - total * total) / n**2), 1.0) for total, squares in sums),
    )
    fire = set(known.fire)
    fire_free = [patch_id for patch_id in train.ids if patch_id not in fire]
    burning = known.n_fire_pixels / (len(known.fire) * train.meta.patch_size**2)
    return TrainSurvey(normalisation, known.n_fire_pixels / n, burning, list(known.fire), fire_free)


class Batch(NamedTuple):
    """One step's patches.

    Attributes:
        dn: uint16 (N, C, H, W), DN.
        label: bool (N, H, W).
        ignore: bool (N, H, W).
        weight: float32 (N,), factor on each patch's loss.
    """

    dn: Tensor
    label: Tensor
    ignore: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(*(moved(tensor, device) for tensor in self))


class TrainingBatches:
    """The batches of a training: in each, the study's numbers of fire-free, fire and extra patches.

    Each slot goes through its patches in shuffled passes of its own, so two configs of one seed see the same
    fire-free and fire patches at every step. The extra slot shows what the config adds, or real fire again if
    it adds nothing; without fire-free patches that slot shows real fire too. A patch comes in one of the
    eight orientations of a square. Without `repeat_fire` all patches go through one slot, equally often.

    Args:
        part: the train part, added patches included.
        survey: its real patches.
        added_ids: the patches that the config adds.
        training: bands and composition.
        seed: the training's seed.
        repeat_fire: whether batches have that composition.
    """

    def __init__(
        self,
        part: PatchPart,
        survey: TrainSurvey,
        added_ids: Sequence[str],
        training: Training,
        seed: int,
        repeat_fire: bool = True,
    ) -> None:
        self._part = part
        self._rows = part.meta.band_rows(training.bands)
        self._seed, self._survey, self._repeat_fire = seed, survey, repeat_fire
        slots = (("fire-free", survey.fire_free), ("fire", survey.fire), ("extra", added_ids))
        self._slots = [
            (name, list(ids) or survey.fire, n)
            for (name, ids), n in zip(slots, training.batch_composition, strict=True)
        ]
        if not repeat_fire:
            self._slots = [("all", list(part.ids), training.batch_size)]

    @property
    def fire_pixel_share(self) -> float:
        """Share of fire pixels in a batch, from the real patches: paint is taken to burn as they do."""
        if not self._repeat_fire:
            return self._survey.fire_pixel_share
        burning = sum(n for name, _, n in self._slots if name != "fire-free")
        return self._survey.burning_pixel_share * burning / sum(n for _, _, n in self._slots)

    def ids(self, step: int) -> list[str]:
        """Return the patches of a step (from 0): the fire-free ones, then fire, then extra."""
        return [
            ids[cycled_index(step * n + place, len(ids), self._seed, name)]
            for name, ids, n in self._slots
            for place in range(n)
        ]

    def stream(self, first: int, end: int) -> Generator[Batch]:
        """Yield the batches of the steps from one up to another, read ahead while the last ones are learned from."""
        with ThreadPoolExecutor(1) as reader, closing(ahead(reader, self.read, range(first, end), 2)) as outcomes:
            for outcome in outcomes:
                yield outcome.result()

    def read(self, step: int) -> Batch:
        """Return the batch of a step (from 0), on the CPU."""
        ids = self.ids(step)
        turns = [derive_seed(self._seed, "orientation", step, place) % ORIENTATIONS for place in range(len(ids))]
        batch = self._part.read_batch(ids, self._rows, turns)
        return Batch(*(torch.from_numpy(array) for array in batch))
