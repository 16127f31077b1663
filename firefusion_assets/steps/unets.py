"""Training the U-Nets of a config."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.core.workers import Progress
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import OVERLAY, read_replicates
from firefusion_assets.lineage.pieces import Pieces, pieces_of, put_together
from firefusion_assets.report.plots import write_training_curves
from firefusion_assets.segmentation.parallel import share_of_cores, trainers
from firefusion_assets.segmentation.training import HISTORY_FILE, TrainingJob, train_unet


def network_pieces(lineage: Lineage, key: str) -> Pieces:
    """Return the U-Nets of a config: one for each fold and replicate."""
    study, replicates = lineage.study, read_replicates(lineage, key)
    overlay = lineage.find("augmented_lmdb", key).path / OVERLAY
    makes = {}
    for replicate in replicates:
        job = TrainingJob(
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
        )
        makes[replicate.folder] = partial(_train, replicate.folder, len(replicates), job)
    return Pieces(pieces_of(lineage, "trained_unet", key, makes), processes=partial(trainers, len(replicates)))


def _train(folder: str, n_jobs: int, job: TrainingJob, work: Path, progress: Progress) -> dict[str, Any]:
    with share_of_cores(n_jobs):
        train_unet(job, work / folder, progress)
    return {}


def train_config(lineage: Lineage, key: str, work: Path, progress: Progress) -> dict[str, Any]:
    """Train a U-Net for each fold and replicate; return facts."""
    replicates = read_replicates(lineage, key)
    put_together(network_pieces(lineage, key).build(progress), work)
    history = pd.concat(
        [
            pd.read_csv(work / replicate.folder / HISTORY_FILE).assign(
                fold=replicate.fold.number, replicate=replicate.number
            )
            for replicate in replicates
        ]
    )
    history.to_parquet(work / "history.parquet", index=False)
    write_training_curves(history, key, work / "sheet.png")
    last = history[history["step"] == history["step"].max()]
    return {"n_networks": len(replicates), "loss_final": float(last["train_loss"].mean())}
