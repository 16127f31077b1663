"""The U-Nets of a config and what they reach on the test part."""

import dagster as dg

from firefusion_assets.lineage.pieces import Pieces
from firefusion_assets.orchestration.lineage_asset import lineage_asset
from firefusion_assets.orchestration.step import Step, table
from firefusion_assets.steps import object_checks as checks


def _networks(step: Step) -> Pieces:
    from firefusion_assets.steps.unets import network_pieces

    return network_pieces(step.lineage, step.key)


def _scores(step: Step) -> Pieces:
    from firefusion_assets.steps.scoring import score_pieces

    return score_pieces(step.lineage, step.key)


@lineage_asset(group="3_segmentation", kinds={"pytorch"}, page="reference.md", pieces=_networks)
def trained_unet(step: Step) -> dg.MaterializeResult:
    """A U-Net for each fold and replicate, trained on the real train part and what the config adds.

    Publishes `fold-N/replicate-R/`: `network.safetensors`, `network.json`, `history.csv`.
    """
    from firefusion_assets.steps.unets import train_config

    return step.published(step.build(train_config), table_file="history.parquet")


@lineage_asset(
    group="3_segmentation",
    kinds={"pytorch", "parquet"},
    page="report.md",
    checks=(checks.FINDS_FIRE,),
    pieces=_scores,
)
def dice_metrics(step: Step) -> dg.MaterializeResult:
    """Dice and its companions on the held-out test groups.

    Publishes `patches.parquet` (a row for each fold, replicate and test patch), `summary.parquet` (a row for each fold
    and replicate) and `predictions.npz` (some predicted masks for pictures).
    """
    from firefusion_assets.steps.scoring import score_config

    metrics = step.build(score_config)
    return step.published(metrics, summary=table(metrics.facts["summary"]), table_file="patches.parquet")
