"""What `native` paints in the demo, against `copy-paste`, whose fires are real ones: run `make demo` first."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, read_folds

_DEMO = Path(__file__).parents[1] / "data" / "demo"
_KEYS = ("native", "copy-paste")
_SEEDS = 8
_PAINT = "fold-0/replicate-0"


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield figures of painted fires, those of `native` first."""
    lineage = Lineage(_DEMO, ArtifactStore(_DEMO / "artifacts"))
    (fold,) = read_folds(lineage)
    facts = [lineage.find("screened_images", key).facts for key in _KEYS]
    for name in ("accepted_share", "label_detected_share"):
        yield f"demo: {name} (baseline: copy-paste)", facts[0][name], facts[1][name]
    outside = [_detected_outside(lineage, key, fold) for key in _KEYS]
    yield "demo: detected px outside the label a patch (copy-paste)", outside[0], outside[1]
    distances = [
        pd.read_parquet(lineage.find("screened_images", key).path / _PAINT / "verdicts.parquet")[
            "nearest_distance"
        ].min()
        for key in _KEYS
    ]
    yield "demo: least distance to a training fire (copy-paste)", distances[0], distances[1]
    yield f"demo: B7 over {_SEEDS} seeds, DN std (baseline: real fires)", *_seed_spread(lineage, fold)


def _detected_outside(lineage: Lineage, key: str, fold: Fold) -> float:
    synthetic = SyntheticPatches(lineage.find("synthetic_images", key).path / _PAINT)
    plan = Plan.read(lineage.find("inpainting_masks", key).path / _PAINT, fold.train.meta.patch_size)
    found = 0
    for number, row in enumerate(synthetic.provenance.itertuples()):
        named = dict(zip(fold.train.meta.bands, synthetic.read(number), strict=True))
        detected = detect(["murphy"], named, row.sun_elevation)["murphy"] | (named["B7"] == 65535)
        found += int((detected & plan.edits[number] & ~plan.labels[number]).sum())
    return found / len(synthetic)


def _seed_spread(lineage: Lineage, fold: Fold) -> tuple[float, float]:
    """Return the std of B7 over seeds, mean over label pixels of one mask, and the std over real fires' pixels."""
    config = lineage.config("native")
    plan = Plan.read(lineage.find("inpainting_masks", "native").path / _PAINT, fold.train.meta.patch_size)
    row = int(plan.rows["label_pixels"].sub(20).abs().argmin())
    repeat = [np.repeat(array[row : row + 1], _SEEDS, axis=0) for array in (plan.labels, plan.edits)]
    background = fold.train.read(plan.rows["background"].iloc[row]).bands
    model = lineage.find("finetuned_model", "native").path / fold.folder
    painter = config.generator.load(model, config.sampling)
    painted = painter.paint(np.repeat(background[None], _SEEDS, axis=0), *repeat, np.arange(_SEEDS))
    b7 = fold.train.meta.bands.index("B7")
    patches = [fold.train.read(patch_id) for patch_id in fold.train.ids]
    real = np.concatenate([patch.bands[b7][patch.label] for patch in patches])
    return float(painted[:, b7, plan.labels[row]].std(axis=0).mean()), float(real.std())
