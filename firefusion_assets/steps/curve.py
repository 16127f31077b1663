"""Where painting starts to pay: Dice of several studies that keep more or less real fire."""

from collections.abc import Sequence

import pandas as pd

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.core.errors import RequestError
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.steps.reporting import last_comparison


def scarcity_table(lineages: Sequence[Lineage]) -> pd.DataFrame:
    """Return the Dice of every current config of several studies.

    Returns:
        study, fire_patches (burning patches of a train part, mean over folds), key, dice_mean, dice_std, difference,
        low, high and verdict of its report; sorted by key and fire patches.

    Raises:
        MissingUpstreamError: if a study has no report.
        RequestError: if studies don't differ in how many patches burn, or share no config.
    """
    tables = []
    for lineage in lineages:
        parts = pd.DataFrame(lineage.find("scene_split", UNPARTITIONED).facts["parts"])
        fire_patches = float(parts.loc[parts["part"] == "train", "n_fire_patches"].mean())
        table = last_comparison(lineage)
        current = table[(table["status"] == "current") & (table["engine"] != "detector")]
        tables.append(current.assign(study=lineage.study.name, fire_patches=fire_patches))
    columns = ["study", "fire_patches", "key", "dice_mean", "dice_std", "difference", "low", "high", "verdict"]
    rows = pd.concat(tables)[columns].sort_values(["key", "fire_patches"], ignore_index=True)
    if (rows.groupby("key")["fire_patches"].nunique() < 2).all():
        raise RequestError(
            "no config was measured with different numbers of burning patches: name studies that differ in "
            "split.train_fire_patches, and have a report each"
        )
    return rows
