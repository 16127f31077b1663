"""Training the U-Nets of a config."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import OVERLAY, read_replicates
from firefusion_assets.report.plots import write_training_curves
from firefusion_assets.segmentation.parallel import train_all
from firefusion_assets.segmentation.training import HISTORY_FILE, TrainingJob


def train_config(lineage: Lineage, key: str, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Train a U-Net for each fold and replicate; return facts."""
    study = lineage.study
    overlay = lineage.find("augmented_lmdb", key).path / OVERLAY
    jobs = [
        (
            TrainingJob(
                base=replicate.fold.base,
                overlays=(overlay,),
                fold=replicate.fold.number,
                replicate=replicate.number,
                seed=derive_seed(study.replicates.seed, "training", replicate.drawn),
                train_ids=tuple(replicate.fold.train.ids),
                val_ids=tuple(replicate.fold.val.ids),
                statistics=replicate.fold.train.statistics_file,
                repeat_fire=lineage.config(key).generator.repeats_fire(),
                training=study.training,
                threshold=study.evaluation.threshold,
            ),
            work / replicate.folder,
        )
        for replicate in read_replicates(lineage, key)
    ]
    train_all(jobs, progress)
    history = pd.concat(
        [pd.read_csv(folder / HISTORY_FILE).assign(fold=job.fold, replicate=job.replicate) for job, folder in jobs]
    )
    history.to_parquet(work / "history.parquet", index=False)
    write_training_curves(history, key, work / "sheet.png")
    last = history[history["step"] == history["step"].max()]
    return {"n_networks": len(jobs), "loss_final": float(last["train_loss"].mean())}
