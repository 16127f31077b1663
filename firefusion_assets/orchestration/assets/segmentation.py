"""The U-Nets of a config and what they reach on the test part."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from firefusion_assets.lineage.fingerprints import STEP_VERSIONS, UPSTREAM
from firefusion_assets.orchestration import checks
from firefusion_assets.orchestration.executors import GPU_OP_TAGS, GPU_POOL, leased_gpus
from firefusion_assets.orchestration.partitions import AUGMENTATIONS
from firefusion_assets.orchestration.publishing import progress_of, published, table, user_errors
from firefusion_assets.orchestration.resources import Workspace


@dg.asset(
    group_name="segmentation",
    kinds={"pytorch"},
    partitions_def=AUGMENTATIONS,
    deps=list(UPSTREAM["trained_unet"]),
    pool=GPU_POOL,
    op_tags=GPU_OP_TAGS,
    code_version=str(STEP_VERSIONS["trained_unet"]),
)
def trained_unet(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """A U-Net for each fold and seed, trained on the real train part and what the config adds.

    Publishes `fold-N/seed-S/`: `network.safetensors` (best on val), `network.json`, `history.csv`.
    """
    from firefusion_assets.segmentation.parallel import TrainingError

    lineage, key = workspace.lineage(), context.partition_key

    def make(work: Path) -> Mapping[str, Any]:
        import pandas as pd

        from firefusion_assets.lineage.folds import read_folds
        from firefusion_assets.report.plots import write_training_curves
        from firefusion_assets.segmentation.parallel import train_all
        from firefusion_assets.segmentation.training import HISTORY_FILE, TrainingJob
        from firefusion_assets.steps.augmenting import OVERLAY

        study = lineage.study
        overlay = lineage.find("augmented_lmdb", key).path / OVERLAY
        jobs = [
            (
                TrainingJob(
                    base=fold.base,
                    overlays=(overlay,),
                    fold=fold.number,
                    seed=seed,
                    train_ids=tuple(fold.train.ids),
                    val_ids=tuple(fold.val.ids),
                    training=study.training,
                    threshold=study.evaluation.threshold,
                ),
                work / fold.folder / f"seed-{seed}",
            )
            for fold in read_folds(lineage)
            for seed in study.training.seeds
        ]
        train_all(jobs, progress_of(context))
        history = pd.concat(
            [pd.read_csv(folder / HISTORY_FILE).assign(fold=job.fold, seed=job.seed) for job, folder in jobs]
        )
        history.to_parquet(work / "history.parquet", index=False)
        write_training_curves(history, key, work / "sheet.png")
        last = history[history["step"] == history["step"].max()]
        return {"n_networks": len(jobs), "loss_final": float(last["train_loss"].mean())}

    with user_errors(ValueError, FloatingPointError, TrainingError), leased_gpus():
        artifact = lineage.build("trained_unet", key, make, progress_of(context))
    return published(artifact, artifact.path / "sheet.png")


@dg.asset(
    group_name="segmentation",
    kinds={"pytorch", "parquet"},
    partitions_def=AUGMENTATIONS,
    deps=list(UPSTREAM["dice_metrics"]),
    pool=GPU_POOL,
    op_tags=GPU_OP_TAGS,
    code_version=str(STEP_VERSIONS["dice_metrics"]),
    check_specs=checks.specs("dice_metrics", checks.FINDS_FIRE),
)
def dice_metrics(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Dice and its companions on the held-out test groups.

    Publishes `patches.parquet` (a row for each fold, seed and test patch), `summary.parquet` (a row for each fold
    and seed) and `predictions.npz` (some predicted masks for pictures).
    """
    lineage, key = workspace.lineage(), context.partition_key

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.lineage.folds import read_folds
        from firefusion_assets.steps.scoring import score_config

        networks = lineage.find("trained_unet", key).path
        return score_config(read_folds(lineage), networks, lineage.study, work)

    with user_errors(), leased_gpus():
        artifact = lineage.build("dice_metrics", key, make, progress_of(context))
    summary = artifact.facts["summary"]
    blind = [f"fold {row['fold']} seed {row['seed']}" for row in summary if not row["recall"]]
    return published(
        artifact,
        artifact.path / "sheet.png",
        [checks.result(checks.FINDS_FIRE, not blind, blind=", ".join(blind) or None)],
        summary=table(summary),
    )
