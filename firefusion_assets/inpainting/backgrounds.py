"""Backgrounds: which patches a fire may be painted on, and why not on the others.

The table of the base store holds what was measured of each patch; this module judges it.
"""

from collections import Counter
from typing import Any

import pandas as pd

from firefusion_assets.landsat.conditions import CONDITION_COLUMNS
from firefusion_assets.study.models import Backgrounds


def judge(table: pd.DataFrame, settings: Backgrounds, patch_size: int) -> pd.DataFrame:
    """Say of each patch whether it is a background.

    Backgrounds are free of fire; where that leaves none, patches with fire serve too, outside their fires.
    An unknown condition, such as the clouds of a patch without near infrared, rejects no patch.

    Args:
        table: the patches, indexed by patch id.
        settings: how clear, dry and whole a background has to be.
        patch_size: height and width of a patch in px.

    Returns:
        scene, fire_pixels, conditions (what the clouds are known by; empty if nothing) and reason of each patch.
        The reason is empty for a background, else ``KIND: figures`` of each kind that applies, of `fire`, `fill`,
        `not clear` and `water`, separated by ``; ``.
    """
    unknown = [name for name in CONDITION_COLUMNS if name not in table]
    rows = table.reindex(columns=[*table.columns, *unknown]).itertuples()
    ground = ["; ".join(_ground_problems(row, settings, patch_size)) for row in rows]
    fires = [f"fire: {pixels} px" if pixels else "" for pixels in table["fire_pixels"]]
    if all(fire or problem for fire, problem in zip(fires, ground, strict=True)):
        fires = [""] * len(fires)
    reasons = ["; ".join(filter(None, both)) for both in zip(fires, ground, strict=True)]
    return table[["scene", "fire_pixels"]].assign(conditions=table.get("conditions", ""), reason=reasons)


def summary(judged: pd.DataFrame) -> str:
    """Say how many patches are backgrounds, and what should be known of these."""
    usable = judged[judged["reason"] == ""]
    text = f"{len(usable)} of {len(judged)} patches"
    if burning := int((usable["fire_pixels"] > 0).sum()):
        text += f", {burning} of them with a fire of their own, since no other patch will do"
    if unknown := int((usable["conditions"] == "").sum()):
        text += f"; of {unknown} clouds and water are unknown"
    return text


def count_reasons(judged: pd.DataFrame) -> dict[str, int]:
    """Return how many patches are rejected for each kind of reason; a patch may count for several."""
    problems = (problem for reason in judged["reason"] for problem in reason.split("; ") if problem)
    return dict(sorted(Counter(problem.partition(":")[0] for problem in problems).items()))


def _ground_problems(row: Any, settings: Backgrounds, patch_size: int) -> list[str]:
    problems = []
    filled = 1 - row.valid_pixels / patch_size**2
    if filled > settings.max_fill:
        problems.append(f"fill: {filled:.1%}, allowed {settings.max_fill:.1%}")
    if row.clear_share < settings.min_clear:
        shares = {"cloud": row.cloud_share, "cirrus": row.cirrus_share, "shadow": row.shadow_share}
        parts = ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share > 0)
        allowed = f"allowed {1 - settings.min_clear:.1%}"
        problems.append(f"not clear: {1 - row.clear_share:.1%} by {row.conditions} ({parts}), {allowed}")
    if row.water_share > settings.max_water:
        problems.append(f"water: {row.water_share:.1%}, allowed {settings.max_water:.1%}")
    return problems
