"""Splits never cut a group, are balanced on fire, seeded, and say why they can't be made."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firefusion_assets.ingest.groups import group_patches
from firefusion_assets.ingest.patch_table import Georeference
from firefusion_assets.ingest.split import SplitError, leaks, part_ids, split_patches, split_summary
from firefusion_assets.study.models import Split


def table(fires: list[list[int]], **columns: object) -> pd.DataFrame:
    """One scene for each list, one patch for each number of fire pixels."""
    rows = [
        {
            "patch_id": f"s{scene:02d}p{number}", "scene": f"s{scene:02d}", "group": None,
            "path": 10 + 5 * scene, "row": 30, "fire_pixels": fire,
            "west": np.nan, "south": np.nan, "east": np.nan, "north": np.nan,
        }
        for scene, patches in enumerate(fires)
        for number, fire in enumerate(patches)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    fires=st.lists(st.lists(st.integers(0, 500), min_size=1, max_size=6), min_size=5, max_size=15),
    folds=st.sampled_from([1, 3, 4, 5]),
    seed=st.integers(0, 1000),
)
def test_no_group_is_cut_and_every_part_has_fire(fires: list[list[int]], folds: int, seed: int) -> None:
    patches = table([[n + 1, *rest] for n, *rest in fires])  # fire in every scene
    split = split_patches(patches, Split(folds=folds, seed=seed))
    assert leaks(split).empty
    assert len(split) == folds * len(patches)
    summary = split_summary(split)
    assert (summary["fire_pixels"] > 0).all() and len(summary) == 3 * folds
    if folds > 1:
        tested = [patch for fold in range(folds) for patch in part_ids(split, fold, "test")]
        assert sorted(tested) == sorted(patches["patch_id"])
    pd.testing.assert_frame_equal(
        split, split_patches(patches.sample(frac=1, random_state=1), Split(folds=folds, seed=seed))
    )


def test_parts_come_close_to_their_shares_of_fire() -> None:
    patches = table([[10] * 4 for _ in range(20)])
    summary = split_summary(split_patches(patches, Split())).set_index("part")
    assert summary["fire_pixels"].to_dict() == {"train": 480, "val": 160, "test": 160}
    assert summary["n_groups"].to_dict() == {"train": 12, "val": 4, "test": 4}


@pytest.mark.slow
@settings(max_examples=60)
@given(
    fires=st.lists(st.lists(st.integers(0, 500), min_size=1, max_size=6), min_size=2, max_size=15),
    by=st.sampled_from(["group", "patch"]),
    seed=st.integers(0, 1000),
)
def test_without_a_share_there_is_no_test_part(fires: list[list[int]], by: str, seed: int) -> None:
    patches = table([[n + 1, *rest] for n, *rest in fires])
    split = split_patches(patches, Split.model_validate({"by": by, "seed": seed, "val_share": 0.3, "test_share": 0}))
    assert sorted(split["patch_id"]) == sorted(patches["patch_id"])
    assert part_ids(split, 0, "test") == []
    summary = split_summary(split)
    assert summary["part"].tolist() == ["train", "val"] and (summary["fire_pixels"] > 0).all()
    cut = {group for group, parts in split.groupby("group")["part"] if set(parts) == {"train", "val"}}
    assert set(leaks(split)["group"]) == cut
    assert by == "patch" or not cut


def test_seventy_and_thirty_percent() -> None:
    patches = table([[10] * 2 + [0] * 8 for _ in range(10)])
    split = split_patches(patches, Split(by="patch", val_share=0.3, test_share=0))
    summary = split_summary(split).set_index("part")
    assert summary["n_patches"].to_dict() == {"train": 70, "val": 30}
    assert summary["n_fire_patches"].to_dict() == {"train": 14, "val": 6}


@pytest.mark.slow
@settings(max_examples=60)
@given(
    fires=st.lists(st.lists(st.integers(0, 500), min_size=1, max_size=6), min_size=5, max_size=15),
    folds=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_a_scarcer_train_part_is_part_of_a_richer_one_and_spread_over_groups(
    fires: list[list[int]], folds: int, seed: int, data: st.DataObject
) -> None:
    patches = table([[n + 1, *rest] for n, *rest in fires])
    whole = split_patches(patches, Split(folds=folds, seed=seed))
    burning = whole[(whole["part"] == "train") & (whole["fire_pixels"] > 0)]
    most = int(burning.groupby("fold").size().min())
    few, more = sorted(data.draw(st.integers(1, most)) for _ in range(2))
    scarce, richer = (split_patches(patches, Split(folds=folds, seed=seed, train_fire_patches=n)) for n in (few, more))
    assert leaks(scarce).empty
    for fold in range(folds):
        kept = [set(part_ids(split, fold, "train")) for split in (scarce, richer, whole)]
        assert kept[0] <= kept[1] <= kept[2]
        fire = set(burning.loc[burning["fold"] == fold, "patch_id"])
        assert len(kept[0] & fire) == few and len(kept[1] & fire) == more
        assert kept[0] - fire == kept[2] - fire, "what doesn't burn stays"
        groups = burning[burning["fold"] == fold].set_index("patch_id")["group"]
        assert groups[sorted(kept[0] & fire)].nunique() == min(few, groups.nunique())
        for part in ("val", "test"):
            assert part_ids(scarce, fold, part) == part_ids(whole, fold, part)
    summary = split_summary(scarce)
    assert set(summary["part"]) <= {"train", "val", "test", "held back"}
    assert summary["n_patches"].sum() == len(whole)


def test_more_burning_patches_than_there_are_can_not_be_kept() -> None:
    with pytest.raises(SplitError, match=r"train_fire_patches: 49, but the train part of fold 0 has 48 .* lower it"):
        split_patches(table([[10] * 4 for _ in range(20)]), Split(train_fire_patches=49))


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_folds_train_on_all_that_they_do_not_test_but_the_val_share(folds: int) -> None:
    """Three folds train on more than half; every group is tested once."""
    patches = table([[10] * 4 for _ in range(30)])
    summary = split_summary(split_patches(patches, Split(folds=folds))).set_index(["fold", "part"])["n_patches"]
    for fold in range(folds):
        assert summary[fold, "test"] == 120 / folds
        assert summary[fold, "train"] >= ((folds - 1) / folds - 0.2) * 120
        assert summary[fold, "train"] > 60
        assert summary[fold, "val"] > 0


def test_another_seed_gives_another_split() -> None:
    patches = table([[10] * 4 for _ in range(20)])
    assert part_ids(split_patches(patches, Split(seed=1)), 0, "test") != part_ids(
        split_patches(patches, Split(seed=2)), 0, "test"
    )


def groups_of(**columns: object) -> list[str]:
    return group_patches(table([[0]] * 4, **columns)).tolist()


NAN = [np.nan] * 4


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        # far apart
        ({}, ["s00", "s01", "s02", "s03"]),
        # one path and row on other dates; and neighbours in row, chained
        ({"path": [7, 7, 7, 7], "row": [30, 30, 50, 51]}, ["s00", "s00", "s02", "s02"]),
        ({"path": [7, 7, 7, 9], "row": [30, 31, 32, 32]}, ["s00", "s00", "s00", "s03"]),
        ({"path": [7, 8, 9, 20], "row": [30, 30, 31, 40]}, ["s00", "s00", "s00", "s03"]),
        # georeferenced: adjacent paths only count where footprints overlap, far paths too
        (
            {
                "path": [7, 8, 60, 61],
                "row": 30,
                "west": [0, 5, 4, 90],
                "east": [2, 7, 6, 95],
                "south": 0,
                "north": 1,
            },
            ["s00", "s01", "s01", "s03"],
        ),
        # one of two is not georeferenced: paths and rows decide
        (
            {
                "path": [7, 8, 60, 80],
                "west": [0, np.nan, 4, 9],
                "east": [2, np.nan, 6, 10],
                "south": 0,
                "north": 1,
            },
            ["s00", "s00", "s02", "s03"],
        ),
        # given by the source
        ({"group": ["x", "x", "y", "x"]}, ["x", "x", "y", "x"]),
    ],
)
def test_groups_join_what_may_show_the_same_ground(columns: dict[str, object], expected: list[str]) -> None:
    assert groups_of(**columns) == expected


FOOTPRINTS = st.lists(
    st.tuples(st.integers(-180, 179), st.integers(1, 15), st.integers(-8, 8), st.integers(-90, 80), st.integers(1, 10)),
    min_size=2,
    max_size=6,
)


@given(footprints=FOOTPRINTS)
def test_footprints_that_overlap_anywhere_on_earth_are_one_group(
    footprints: list[tuple[int, int, int, int, int]],
) -> None:
    """Scenes of two patches each; the oracle counts the one-degree cells between them."""

    def bounds(start: int, width: int) -> tuple[int, int]:
        """West and east as transforms give them: from -180 to 180, east below west where 180 degrees is crossed."""
        west, east = (start + 180) % 360 - 180, (start + width + 180) % 360 - 180
        return west, 180 if east == -180 else east

    rows, cells = [], []
    for number, (start, width, step, south, height) in enumerate(footprints):
        for patch, first in enumerate((start, start + step)):
            west, east = bounds(first, width)
            rows.append({"patch_id": f"{number}-{patch}", "scene": f"s{number}", "group": None, "path": 9 * number,
                         "row": 1, "west": west, "east": east, "south": south, "north": south + height})  # fmt: skip
        columns = range(min(start, start + step), max(start, start + step) + width)
        cells.append({(x % 360, y) for x in columns for y in range(south, south + height)})
    expected = list(range(len(cells)))
    for _ in cells:
        for i, mine in enumerate(cells):
            expected[i] = min(expected[j] for j, other in enumerate(cells) if mine & other)
    groups = group_patches(pd.DataFrame(rows))
    assert groups.tolist() == [f"s{first}" for first in expected for _ in range(2)]


def test_footprints_in_two_crs_across_180_degrees_are_one_group() -> None:
    """The same ground seen from UTM zones 60 and 1, and a third scene far away."""
    grid = {
        "a": ("EPSG:32660", (770000.0, 3980000.0, 780000.0, 3990000.0)),
        "b": ("EPSG:32601", (225000.0, 3980000.0, 235000.0, 3990000.0)),
        "c": ("EPSG:32601", (525000.0, 3980000.0, 535000.0, 3990000.0)),
    }
    rows = [
        {"patch_id": scene, "scene": scene, "group": None, "path": 50 * number, "row": 1}
        | Georeference(crs, (30.0, 0.0, bounds[0], 0.0, -30.0, bounds[3]), bounds).place(None, None, True)
        for number, (scene, (crs, bounds)) in enumerate(grid.items())
    ]
    assert group_patches(pd.DataFrame(rows)).tolist() == ["a", "a", "c"]


def test_by_patch_cuts_groups_and_the_leak_is_seen() -> None:
    patches = table([[5] * 10, [5] * 10])
    split = split_patches(patches, Split(by="patch"))
    assert not leaks(split).empty
    with pytest.raises(SplitError, match="too few groups: 2, at least 3"):
        split_patches(patches, Split(by="group"))


@pytest.mark.parametrize(
    ("fires", "split", "expected"),
    [
        ([[0], [0]], Split(), "too few groups: 2, at least 3 .*; no fire pixel in the whole data set"),
        ([[1], [0], [0], [0]], Split(), "too few groups with fire pixels: 1, at least 3 .* split.by: patch"),
        ([[1], [1], [1]], Split(folds=5), "too few groups: 3, at least 5"),
        ([[1]], Split(test_share=0), "too few groups: 1, at least 2 are needed for train and val; .*: 1, at least 2"),
    ],
)
def test_too_little_data_stops_with_all_causes(fires: list[list[int]], split: Split, expected: str) -> None:
    with pytest.raises(SplitError, match=expected):
        split_patches(table(fires), split)


def test_a_patch_that_is_there_twice_is_refused() -> None:
    patches = table([[5] * 3] * 6)
    with pytest.raises(SplitError, match="patches without a part, or there twice: s02p1$"):
        split_patches(pd.concat([patches, patches[patches["patch_id"] == "s02p1"]]), Split())


def test_a_planted_leak_is_found() -> None:
    split = split_patches(table([[5] * 3 for _ in range(6)]), Split())
    split.loc[0, "part"] = "test" if split.loc[0, "part"] != "test" else "train"
    assert leaks(split)["group"].tolist() == ["s00"]
