"""The split: which group is in the train, validation and test part of which fold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from firefusion_assets.core.errors import UserError
from firefusion_assets.core.folders import some_of
from firefusion_assets.core.seeding import generator, spread_index
from firefusion_assets.ingest.groups import group_patches
from firefusion_assets.study.models import Split

PARTS = ("train", "val", "test")
HELD_BACK = "held back"
"""Where the burning patches are that `split.train_fire_patches` takes out of the train part: nothing reads them but
configs whose engine asks for them."""


class SplitError(UserError, ValueError):
    """A data set that can't be split as the study wants. The message says why and what to do."""


def split_patches(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Assign every patch to a part of every fold, balanced on fire pixels.

    Args:
        table: one row a patch: patch_id, scene, group, path, row, bounds in degrees, fire_pixels.
        split: the study's settings.

    Returns:
        One row for each fold and patch: fold, patch_id, group, scene, part (one of `PARTS`, or `HELD_BACK`),
        fire_pixels; sorted by fold and patch.

    Raises:
        SplitError: if there are too few groups, or too few with fire, for fire in every part; `test` is one of them
            unless `split.test_share` is 0.
    """
    table = table.sort_values("patch_id", ignore_index=True)
    groups = group_patches(table)
    units = table["patch_id"] if split.by == "patch" else groups
    sizes = table.groupby(units).agg(fire=("fire_pixels", "sum"), patches=("patch_id", "size"))
    _check_enough(sizes, split)
    folds = []
    for fold, parts in enumerate(_assign(sizes, split)):
        rows = pd.DataFrame(
            {
                "fold": fold,
                "patch_id": table["patch_id"],
                "group": groups,
                "scene": table["scene"],
                "part": units.map(parts),
                "fire_pixels": table["fire_pixels"],
            }
        )
        astray = rows.loc[rows["part"].isna() | rows["patch_id"].duplicated(), "patch_id"]
        if len(astray):
            raise SplitError(f"fold {fold}: patches without a part, or there twice: {some_of(astray.tolist())}")
        without = [part for part in _parts(split) if not rows.loc[rows["part"] == part, "fire_pixels"].sum()]
        if without:
            raise SplitError(
                f"fold {fold}: no fire pixel in the part {', '.join(without)}; use another split.seed, fewer "
                "split.folds, or more patches with fire"
            )
        if split.train_fire_patches is not None:
            rows.loc[_surplus(rows, split), "part"] = HELD_BACK
        folds.append(rows)
    return pd.concat(folds, ignore_index=True)


def leaks(split: pd.DataFrame) -> pd.DataFrame:
    """Return fold, group and parts of every group that lies in more than one part of a fold."""
    parts = split[split["part"] != HELD_BACK].groupby(["fold", "group"])["part"].unique()
    cut = parts[parts.map(len) > 1]
    return cut.map(lambda names: ", ".join(sorted(names))).rename("parts").reset_index()


def split_summary(split: pd.DataFrame) -> pd.DataFrame:
    """Return the size of each part of each fold: groups, scenes, patches and fire pixels, and those with fire."""
    fire = split["fire_pixels"] > 0
    summary = (
        split.assign(fire=fire, fire_scene=split["scene"].where(fire))
        .groupby(["fold", "part"])
        .agg(
            n_groups=("group", "nunique"),
            n_scenes=("scene", "nunique"),
            n_fire_scenes=("fire_scene", "nunique"),
            n_patches=("patch_id", "size"),
            n_fire_patches=("fire", "sum"),
            fire_pixels=("fire_pixels", "sum"),
        )
        .reset_index()
    )
    order = summary["part"].map([*PARTS, HELD_BACK].index)
    return summary.assign(order=order).sort_values(["fold", "order"], ignore_index=True).drop(columns="order")


def part_ids(split: pd.DataFrame, fold: int, part: str) -> list[str]:
    """Return the sorted patch ids of one part of one fold."""
    return sorted(split.loc[(split["fold"] == fold) & (split["part"] == part), "patch_id"])


def _parts(split: Split) -> tuple[str, ...]:
    """Return the parts that a fold has."""
    return PARTS if split.test_share else PARTS[:2]


def _check_enough(sizes: pd.DataFrame, split: Split) -> None:
    *first, last = _parts(split)
    needed = max(len(first) + 1, split.folds)
    with_fire = int((sizes["fire"] > 0).sum())
    unit = "patches" if split.by == "patch" else "groups"
    problems = []
    if len(sizes) < needed:
        problems.append(f"too few {unit}: {len(sizes)}, at least {needed} are needed for {', '.join(first)} and {last}")
    if with_fire == 0:
        problems.append("no fire pixel in the whole data set")
    elif with_fire < needed:
        problems.append(f"too few {unit} with fire pixels: {with_fire}, at least {needed} are needed")
    if problems:
        remedy = "Add scenes with fire"
        if split.by == "group" and with_fire:
            remedy += ", or set split.by: patch for a trial (leaky: the report will say so)"
        raise SplitError(f"the data set can't be split: {'; '.join(problems)}. {remedy}.")


def _assign(sizes: pd.DataFrame, split: Split) -> list[dict[str, str]]:
    """Return for each fold the part of each unit."""
    if split.folds == 1:
        shares = [1 - split.val_share - split.test_share, split.val_share, split.test_share]
        bins = _balanced_bins(sizes, shares[: len(_parts(split))], split.seed)
        return [{unit: PARTS[number] for unit, number in bins.items()}]
    bins = _balanced_bins(sizes, [1 / split.folds] * split.folds, split.seed)
    # Fold k tests on bin k, so that every group is tested exactly once.
    folds = []
    for fold in range(split.folds):
        others = sizes.loc[[unit for unit, number in bins.items() if number != fold]].sort_index()
        shares = [1 - split.val_share, split.val_share]
        parts = {unit: PARTS[number] for unit, number in _balanced_bins(others, shares, split.seed, fold).items()}
        folds.append({unit: parts.get(unit, "test") for unit in bins})
    return folds


def held_back_ids(table: pd.DataFrame, split: Split, fold: int) -> list[str]:
    """Return the burning patches that a fold holds back, those first that a larger `train_fire_patches` would keep.

    Args:
        table: what `split_patches` returned.
        split: the study's settings.
        fold: the fold.
    """
    rows = table[table["fold"] == fold]
    if split.train_fire_patches is None:
        return []
    ordered = rows.loc[_scarcity_order(rows, split)]
    return ordered.loc[ordered["part"] == HELD_BACK, "patch_id"].tolist()


def _surplus(rows: pd.DataFrame, split: Split) -> list[int]:
    """Return which rows of a fold's train part to hold back."""
    order, wanted = _scarcity_order(rows, split), split.train_fire_patches
    if wanted is None or wanted > len(order):
        raise SplitError(
            f"split.train_fire_patches: {wanted}, but the train part of fold {rows['fold'].iloc[0]} has {len(order)} "
            "burning patches; lower it, or leave it out to keep all"
        )
    return order[wanted:]


def _scarcity_order(rows: pd.DataFrame, split: Split) -> list[int]:
    """Return the rows of a fold with burning patches of the train part, held back or not, spread over groups."""
    burning = rows[rows["part"].isin(["train", HELD_BACK]) & (rows["fire_pixels"] > 0)]
    groups, fold = tuple(burning["group"]), int(rows["fold"].iloc[0])
    order = [spread_index(place, groups, split.seed, "scarcity", fold) for place in range(len(burning))]
    return burning.index[order].tolist()


def _balanced_bins(sizes: pd.DataFrame, shares: Sequence[float], *draw: int) -> dict[str, int]:
    """Distribute units over bins so that fire pixels, then patches, come close to the bins' shares.

    Units go one by one, largest fire first, to the bin that lacks most of its share; equal ones in seeded order.
    The first units with fire go to different bins, so that each bin has some.
    """
    order = sizes.iloc[generator(*draw, "split").permutation(len(sizes))]
    order = order.sort_values("fire", ascending=False, kind="stable")
    wanted = np.array(shares)
    fire, patches = np.zeros(len(shares)), np.zeros(len(shares))
    total_fire, total_patches = max(1, sizes["fire"].sum()), sizes["patches"].sum()
    bins: dict[str, int] = {}
    for unit, row in order.iterrows():
        if row["fire"] > 0:
            lack = wanted - fire / total_fire
            empty = fire == 0
            number = int(np.argmax(np.where(empty, 1 + lack, lack) if empty.any() else lack))
        else:
            number = int(np.argmax(wanted - patches / total_patches))
        bins[str(unit)] = number
        fire[number] += row["fire"]
        patches[number] += row["patches"]
    return bins
