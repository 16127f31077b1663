"""What the cards of all folders have in common: their subject, its figures, licence and verdict, and the writing."""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pandas as pd
from huggingface_hub import CardData, EvalResult
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from firefusion_assets.lineage.assets import REPORT
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import ADDED_REAL, OVERLAY, Replicate
from firefusion_assets.patchstore import Patches
from firefusion_assets.steps.status import asset_state
from firefusion_assets.study import augmentation_keys
from firefusion_assets.study.augmentation import Augmentation
from firefusion_assets.study.models import Study
from firefusion_assets.study.source import Licence

CARD: Final = "README.md"
"""Written last: a folder without it is cut short."""

METRICS: Final = {"dice_micro": "Dice", "iou": "IoU", "precision": "Precision", "recall": "Recall"}
"""Columns of the summary of `dice_metrics` that cards show, and their names there."""


@dataclass(frozen=True)
class Subject:
    """The config, fold and replicate that is published.

    Attributes:
        lineage: of the study.
        key: of the config.
        replicate: one of the config's, with its fold.
    """

    lineage: Lineage
    key: str
    replicate: Replicate

    @property
    def study(self) -> Study:
        """The study's settings."""
        return self.lineage.study

    @property
    def config(self) -> Augmentation:
        """The config's settings."""
        return self.lineage.config(self.key)

    @property
    def licence(self) -> Licence:
        """What the data may be used under."""
        return self.study.dataset.licence

    @cached_property
    def patches(self) -> Patches:
        """The base store with what the config adds for this replicate."""
        overlay = self.lineage.find("augmented_lmdb", self.key).path / OVERLAY
        return Patches(self.replicate.fold.base, [overlay], self.replicate.fold.number, self.replicate.number)

    @cached_property
    def painted_ids(self) -> list[str]:
        """The accepted painted patches."""
        return [patch_id for patch_id in self.patches.added_ids if not patch_id.startswith(ADDED_REAL)]

    @cached_property
    def figures(self) -> pd.DataFrame:
        """The rows of `dice_metrics` of this fold, by replicate."""
        summary = pd.read_parquet(self.lineage.find("dice_metrics", self.key).path / "summary.parquet")
        return summary[summary["fold"] == self.replicate.fold.number].set_index("replicate")

    def shown_figures(self) -> list[dict[str, str]]:
        """Return a row for each of `METRICS`, in percent: of this replicate, and over all of the fold."""
        rows = []
        for column, name in METRICS.items():
            values = self.figures[column].astype(float)
            spread = f" ± {100 * values.std(ddof=1):.1f}" if values.count() > 1 else ""
            rows.append(
                {
                    "name": name,
                    "own": _percent(values[self.replicate.number]),
                    "all": f"{_percent(values.mean())}{spread}",
                }
            )
        return rows

    def eval_results(self) -> list[EvalResult]:
        """Return this replicate's figures as the hub takes them, fractions from 0 to 1; none that isn't defined."""
        own = self.figures.loc[self.replicate.number]
        return [
            EvalResult(
                task_type="image-segmentation",
                dataset_type=self.study.name,
                dataset_name=f"{self.study.name}, fold {self.replicate.fold.number}",
                dataset_split="validation" if self.study.evaluation.part == "val" else "test",
                metric_type=name.lower(),
                metric_name=f"{name} of fire pixels",
                metric_value=round(float(own[column]), 4),
            )
            for column, name in METRICS.items()
            if own[column] is not None and math.isfinite(float(own[column]))
        ]

    def verdict(self) -> list[str]:
        """Return the sentences of the current report that are about this config or about all; none without one."""
        state = asset_state(self.lineage, REPORT, "")
        if state.state != "current" or state.artifact is None:
            return []
        others = [key for key in augmentation_keys(self.lineage.folder) if key != self.key]
        sentences: list[str] = state.artifact.facts["answers"]
        return [
            sentence
            for sentence in sentences
            if _names(sentence, self.key)
            or "assay" in sentence.lower()
            or not any(_names(sentence, other) for other in others)
        ]


def write_card(subject: Subject, folder: Path, template: str, front: CardData, **facts: Any) -> None:
    """Write a folder's card.

    Args:
        subject: what it is about.
        folder: the folder.
        template: name of the template beside this module.
        front: the metadata in front of the text.
        facts: what the template shows besides.
    """
    environment = Environment(  # noqa: S701 - Markdown, not HTML
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    study, fold = subject.study, subject.replicate.fold
    text = environment.get_template(template).render(
        key=subject.key,
        study=study,
        config=subject.config,
        fold=fold.number,
        replicate=subject.replicate.number,
        meta=fold.train.meta,
        part="validation" if study.evaluation.part == "val" else "test",
        event="fire" if study.dataset.landsat else "event",
        labels=study.dataset.labels_are,
        licence=subject.licence.words,
        verdict=subject.verdict(),
        baseline=study.report.baseline,
        control=subject.config.generator.expected(study),
        **facts,
    )
    (folder / CARD).write_text(f"---\n{front.to_yaml()}\n---\n{text}")


def _names(sentence: str, key: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", sentence) is not None


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if math.isfinite(value) else "not defined"
