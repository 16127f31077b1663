"""Small report inputs that the tests change one thing at a time in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from firefusion_assets.report.inputs import (
    METRICS,
    ConfigResult,
    DetectorResult,
    PaintedExample,
    PredictionExample,
    ReportInputs,
)
from firefusion_assets.study.models import Study

NAN = float("nan")
BANDS = ("B2", "B6", "B7")
BASELINE = (0.50, 0.50, 0.51, 0.50, 0.52, 0.50, 0.50, 0.49)
PASTED = (0.60, 0.61, 0.62, 0.60, 0.61, 0.60, 0.60, 0.61)
"""Dice of eight replicates."""


def metrics(dice: Sequence[tuple[int, int | None, float]], **values: float) -> pd.DataFrame:
    """A metrics table from (fold, replicate, dice_micro); the other metrics are 0.5 unless given."""
    table = pd.DataFrame(dice, columns=["fold", "replicate", "dice_micro"])
    for name in METRICS[1:]:
        table[name] = values.get(name, 0.5)
    table = table.assign(n_patches=40, n_fire_patches=12)
    return table.drop(columns="replicate") if table["replicate"].isna().all() else table


def patches(dice: Sequence[tuple[int, int | None, float]], groups: int = 12) -> pd.DataFrame:
    """Rows of patches with exactly these Dice (of three decimals) in each fold, alike in all groups."""
    rows = []
    for fold, replicate, figure in dice:
        found = 0 if np.isnan(figure) else round(1000 * figure)
        wrong = 0 if np.isnan(figure) else 2000 - 2 * found
        for group in range(groups):
            counts = {"tp": found, "fp": wrong // 2, "fn": wrong - wrong // 2}
            place = {"fold": fold, "replicate": replicate or 0, "group": f"g{fold}-{group}"}
            truth = {"fire_pixels": counts["tp"] + counts["fn"], "area_km2": 3.7}
            rows.append({**place, "patch_id": f"p{fold}-{group}", "scene": place["group"], **counts, **truth})
    return pd.DataFrame(rows)


def history() -> pd.DataFrame:
    return pd.DataFrame(
        {"fold": 0, "replicate": 0, "step": [10, 20], "train_loss": [0.7, 0.4], "val_dice_micro": [NAN, 0.3]}
    )


def config(key: str, engine: str, dice: Sequence[tuple[int, int, float]] = (), **changes: Any) -> ConfigResult:
    values: dict[str, Any] = {"description": f"what {key} tries", "status": "current"}
    values |= {"paints": engine != "none", "copies": engine == "copy-paste"}
    if dice:
        values |= {"metrics": metrics(dice), "patches": patches(dice)}
    return ConfigResult(key=key, engine=engine, **(values | changes))


def detector(name: str, dice: Sequence[tuple[int, int | None, float]]) -> DetectorResult:
    return DetectorResult(name, metrics(dice), patches(dice))


def painted(accepted: bool = True) -> PaintedExample:
    random = np.random.default_rng(3)
    background = random.integers(7_000, 12_000, (3, 16, 16), dtype=np.uint16)
    mask = np.zeros((16, 16), bool)
    mask[5:8, 5:9] = True
    return PaintedExample(
        background=background,
        painted=np.where(mask, np.uint16(50_000), background),
        mask=mask,
        label=mask,
        ignore=np.zeros_like(mask),
        nearest=background if accepted else None,
        nearest_distance=0.25 if accepted else NAN,
        caption="patch-1",
        accepted=accepted,
        reason="" if accepted else "too little of it is fire",
    )


def prediction() -> PredictionExample:
    example = painted()
    return PredictionExample(
        bands=example.painted,
        truth=example.mask,
        ignore=np.zeros((16, 16), bool),
        predicted={"baseline": np.zeros_like(example.mask), "native": np.roll(example.mask, 1, axis=1)},
        caption="patch-2",
    )


def study(**changes: Any) -> Study:
    """A study with real data, eight replicates and three folds: nothing in it calls for a warning."""
    values: dict[str, Any] = {
        "name": "small",
        "dataset": {"source": "activefire", "images": "images", "masks": "masks", "bands": BANDS},
        "split": {"folds": 3},
        "training": {"bands": BANDS},
        "replicates": {"count": 8, "refit": True},
    }
    return Study.model_validate(values | changes)


def split(
    scenes: int = 4, fire_scenes: int = 2, fire_patches: int = 15, folds: int = 3, evaluated: str = "test"
) -> pd.DataFrame:
    """A split table with these numbers in the evaluated part of every fold."""
    common = {"n_groups": scenes, "n_patches": 40, "fire_pixels": 100}
    return pd.DataFrame(
        [
            {
                "fold": fold,
                "part": part,
                "n_scenes": scenes if part == evaluated else 50,
                "n_fire_scenes": fire_scenes if part == evaluated else 50,
                "n_fire_patches": fire_patches if part == evaluated else 500,
                **common,
            }
            for fold in range(folds)
            for part in ("train", "val", "test")
        ]
    )


def runs(*dice: float) -> list[tuple[int, int, float]]:
    """(fold, replicate, Dice) for one figure a replicate, in one fold."""
    return [(0, replicate, figure) for replicate, figure in enumerate(dice)]


def inputs(**changes: Any) -> ReportInputs:
    """A comparison that calls for no warning."""
    values: dict[str, Any] = {
        "study": study(),
        "data": {"n_patches": 120, "skipped_files": []},
        "split": split(),
        "configs": [
            config("pasted", "copy-paste", runs(*PASTED), facts={"n_images": 512, "wanted": 512}),
            config("baseline", "none", runs(*BASELINE)),
        ],
        "detectors": [detector("murphy", [(0, None, 0.4), (1, None, 0.5)])],
    }
    return ReportInputs(**(values | changes))
