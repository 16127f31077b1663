"""What the report is made from: plain records, filled by the caller from artifacts.

No computing here and nothing about where artifacts lie. Tables hold NaN where a value is missing, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.study.models import Study

Fact = float | int | str | None

EXAMPLES = 8
"""Rows of a contact sheet, and examples that are kept for one."""

METRICS = (
    "dice_micro", "iou", "precision", "recall", "pixel_accuracy", "false_alarms_per_1000_km2",
    "dice_scene_mean", "dice_patch_mean", "dice_batch_mean",
)  # fmt: skip
"""Columns of every metrics table, besides fold, replicate, n_patches and n_fire_patches."""

PATCH_COLUMNS = ("fold", "replicate", "patch_id", "scene", "group", "tp", "fp", "fn", "fire_pixels", "area_km2")
"""Columns of every table of patches: pixels found, falsely found and missed, and of the truth."""

SHARED = "(all)"
"""Stands for the key of a config where something exists once a study."""

DICE_NAMES = {"dice_micro": "Dice", "dice_batch_mean": "Dice (batch mean)"}
"""What each Dice that may be the headline is called as such; the headline is what configs are compared by."""


@dataclass(frozen=True)
class PaintedExample:
    """One synthetic patch; all arrays are cut to the same place.

    Attributes:
        background: uint16 DN (C, H, W), before painting.
        painted: uint16 DN (C, H, W).
        mask: bool (H, W), where fire was asked for.
        label: bool (H, W), what a U-Net learns as fire.
        ignore: bool (H, W), what the loss leaves out.
        nearest: uint16 DN (C, H, W), the training fire that looks most alike, cut to the same size; or None.
        nearest_distance: distance to it; NaN without one.
        caption: patch, seed and whatever else names the example.
        accepted: False where screening rejected it.
        reason: why it was rejected; empty where accepted.
    """

    background: npt.NDArray[np.uint16]
    painted: npt.NDArray[np.uint16]
    mask: npt.NDArray[np.bool_]
    label: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_]
    nearest: npt.NDArray[np.uint16] | None
    nearest_distance: float
    caption: str
    accepted: bool
    reason: str


@dataclass(frozen=True)
class PredictionExample:
    """One evaluated patch and what a U-Net of each config predicts for it.

    Attributes:
        bands: uint16 DN (C, H, W).
        truth: bool (H, W).
        ignore: bool (H, W), pixels that the metrics leave out.
        predicted: by key of the config, bool (H, W).
        caption: names the patch.
    """

    bands: npt.NDArray[np.uint16]
    truth: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_]
    predicted: Mapping[str, npt.NDArray[np.bool_]]
    caption: str


class Roles(NamedTuple):
    """What a config is in the comparison, whether it is measured or not; see `ConfigResult`."""

    paints: bool
    copies: bool
    expected: Literal["", "better", "worse"]


@dataclass(frozen=True)
class ConfigResult:
    """One augmentation config and what came of it.

    Attributes:
        key: its partition key.
        description: its own words.
        engine: which generator paints.
        status: `current`; `stale`: measured with other settings or data than today's; `missing`: not measured
            yet; `invalid`: the YAML can't be used.
        note: why it isn't current, and the command that repairs it; else empty.
        metrics: a row for each fold and replicate: fold, replicate, `METRICS`, n_patches, n_fire_patches.
            Empty unless current or stale.
        patches: a row for each fold, replicate and evaluated patch: `PATCH_COLUMNS`. Empty as metrics.
        history: fold, replicate, step, train_loss, val_dice_micro.
        facts: what was added: n_images (accepted paint, or held-back patches), wanted, tried, and shares named
            ``*_share`` from 0 to 1.
        cost: asset name to seconds.
        painted: examples, best first to show.
        gallery: where the page of all painted patches lies, from the report's folder; empty if there is none.
        settings: the resolved config as YAML; empty where it can't be used.
        paints: whether the config paints.
        copies: whether that are copies of real fires, the control to beat.
        expected: what a control is known to be against the baseline; empty for all others.
    """

    key: str
    description: str
    engine: str
    status: Literal["current", "stale", "missing", "invalid"]
    note: str = ""
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    patches: pd.DataFrame = field(default_factory=pd.DataFrame)
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    painted: Sequence[PaintedExample] = ()
    gallery: str = ""
    settings: str = ""
    paints: bool = True
    copies: bool = False
    expected: Literal["", "better", "worse"] = ""


@dataclass(frozen=True)
class DetectorResult:
    """A published fire detector on the same patches.

    Attributes:
        name: the detector.
        metrics: a row for each fold: fold, `METRICS`, n_patches, n_fire_patches; empty where it can't run.
        patches: a row for each fold and evaluated patch: `PATCH_COLUMNS`, with one replicate.
        note: for example why it can't run.
    """

    name: str
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    patches: pd.DataFrame = field(default_factory=pd.DataFrame)
    note: str = ""


@dataclass(frozen=True)
class ReportInputs:
    """Everything that a report shows.

    Attributes:
        study: the study.
        data: facts of the data set: n_patches, n_scenes, n_groups, n_fire_patches, fire_pixels, and whatever
            else is known. A sequence is shown as a list; `skipped_files` (could not be used) is one.
        split: fold, part (train, val and, where there is one, test), n_groups, n_scenes, n_patches,
            n_fire_patches, fire_pixels, and where known n_fire_scenes.
        configs: all configs of the study, in any order.
        detectors: published detectors, to compare with.
        orphans: keys that have artifacts but no longer a config.
        predictions: where the networks of current configs but controls err most, with all their predictions.
        states: a row for each config and asset, and first for each asset that exists once a study (of key `SHARED`):
            key, asset, state (`current`, `stale`, `missing`, `running`, `failed` or `invalid`), why, checks (names of
            those that don't pass, with commas), and hours, gpu_hours and disk (bytes) of making it current.
        looked_at: when they were so, as people read it.
    """

    study: Study
    data: Mapping[str, Fact | Sequence[str]]
    split: pd.DataFrame
    configs: Sequence[ConfigResult]
    detectors: Sequence[DetectorResult] = ()
    orphans: Sequence[str] = ()
    predictions: Sequence[PredictionExample] = ()
    states: pd.DataFrame = field(default_factory=pd.DataFrame)
    looked_at: str = ""

    @property
    def dice_name(self) -> str:
        """What the headline is called."""
        return DICE_NAMES[self.study.report.headline]

    @property
    def part_name(self) -> str:
        """Which part all metrics come from."""
        return "validation" if self.study.evaluation.part == "val" else "test"

    @property
    def ordered_configs(self) -> list[ConfigResult]:
        """The configs, baseline first, then by key."""
        return sorted(self.configs, key=lambda config: (config.key != self.study.report.baseline, config.key))
