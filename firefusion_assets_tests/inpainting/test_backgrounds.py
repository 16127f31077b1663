"""Backgrounds: every rejection has its reason, nothing rejected is painted on, and the choice goes round the scenes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.inpainting.backgrounds import count_reasons, judge, summary
from firefusion_assets.inpainting.choice import JUDGED, PlanError, choose
from firefusion_assets.inpainting.mask_kinds import AnnotatedMasks, TransplantedMasks
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.models import Backgrounds
from firefusion_assets_tests.builders.parts import BANDS, table_of

MOVED = TransplantedMasks()

GOOD = {
    "scene": "s", "fire_pixels": 0, "valid_pixels": 100, "clear_share": 1.0, "cloud_share": 0.0, "cirrus_share": 0.0,
    "shadow_share": float("nan"), "water_share": 0.0, "conditions": "reflectance",
}  # fmt: skip
UNKNOWN = dict.fromkeys((name for name in GOOD if name.endswith("_share")), float("nan")) | {"conditions": ""}


def reasons(*rows: dict[str, object], **settings: float) -> list[str]:
    table = pd.DataFrame([GOOD | row for row in rows], index=[f"p{number}" for number in range(len(rows))])
    return judge(table, Backgrounds.model_validate(settings), patch_size=10)["reason"].tolist()


def test_each_reason_comes_with_its_figures() -> None:
    hidden = {"clear_share": 0.3, "cloud_share": 0.6, "cirrus_share": 0.2, "conditions": "quality band"}
    assert reasons(
        {},
        {"fire_pixels": 12},
        {"valid_pixels": 49},
        hidden,
        {"water_share": 0.51},
        hidden | {"fire_pixels": 1, "water_share": 1.0},
    ) == [
        "",
        "fire: 12 px",
        "fill: 51.0%, allowed 50.0%",
        "not clear: 70.0% by quality band (cloud 60.0%, cirrus 20.0%), allowed 20.0%",
        "water: 51.0%, allowed 50.0%",
        "fire: 1 px; not clear: 70.0% by quality band (cloud 60.0%, cirrus 20.0%), allowed 20.0%; "
        "water: 100.0%, allowed 50.0%",
    ]


def test_limits_are_the_studys_and_themselves_allowed() -> None:
    edge = {"clear_share": 0.8, "cloud_share": 0.2, "water_share": 0.5, "valid_pixels": 50}
    assert reasons(edge) == [""]
    assert reasons(edge, min_clear=0.81, max_water=0.49, max_fill=0.49) == [
        "fill: 50.0%, allowed 49.0%; not clear: 20.0% by reflectance (cloud 20.0%), allowed 19.0%; "
        "water: 50.0%, allowed 49.0%"
    ]


def test_what_is_unknown_speaks_against_no_patch() -> None:
    assert reasons(UNKNOWN, UNKNOWN | {"fire_pixels": 3}) == ["", "fire: 3 px"]
    bare = pd.DataFrame([{"scene": "s", "fire_pixels": 0, "valid_pixels": 100}], index=["p"])  # of a folder
    assert judge(bare, Backgrounds(), 10)["reason"].tolist() == [""]


def test_patches_with_fire_serve_only_where_no_other_would() -> None:
    wet = {"water_share": 1.0}
    assert reasons(wet, {"fire_pixels": 4}) == ["water: 100.0%, allowed 50.0%", ""]
    assert reasons({}, {"fire_pixels": 4}) == ["", "fire: 4 px"]


def test_the_summary_tells_what_backgrounds_lack() -> None:
    rows = [GOOD, GOOD | UNKNOWN, GOOD | {"fire_pixels": 2}]
    table = pd.DataFrame(rows, index=list("abc"))
    assert summary(judge(table, Backgrounds(), 10)) == "2 of 3 patches; of 1 clouds and water are unknown"
    assert summary(judge(table[2:], Backgrounds(), 10)) == (
        "1 of 1 patches, 1 of them with a fire of their own, since no other patch will do"
    )


def test_a_patch_counts_for_each_of_its_reasons() -> None:
    judged = pd.DataFrame({"scene": "s", "reason": ["", "fire: 2 px; water: 80%", "water: 60%"]})
    assert count_reasons(judged) == {"fire": 1, "water": 2}
    assert count_reasons(judged[:1]) == {}


def test_nothing_rejected_is_painted_on_and_the_reasons_are_kept(part: PatchPart, tmp_path: Path) -> None:
    table = table_of(part).assign(**{name: GOOD[name] for name in UNKNOWN})
    table.loc[["free-1", "free-3"], ["clear_share", "cloud_share"]] = [0.1, 0.9]
    facts = write_plan(part, table, Backgrounds(), MOVED, Sampling(images=1, max_tries=40), Draw(0, 0, 1), tmp_path)
    plan = Plan.read(tmp_path, 32)
    assert set(plan.rows["background"]) == {"free-0", "free-2", "free-4"}
    kept = pd.read_parquet(tmp_path / JUDGED)
    assert kept.index.tolist() == list(part.ids)
    assert kept.loc["free-1", "reason"] == "not clear: 90.0% by reflectance (cloud 90.0%), allowed 20.0%"
    assert (facts["n_backgrounds"], facts["n_rejected_backgrounds"]) == (3, len(part.ids) - 3)


def test_a_part_without_any_background_says_why(part: PatchPart, tmp_path: Path) -> None:
    table = table_of(part).assign(**{name: GOOD[name] for name in UNKNOWN} | {"water_share": 1.0})
    with pytest.raises(PlanError, match=r"none of the train part's 9 patches .*\(water 9\).*backgrounds\.min_clear"):
        write_plan(part, table, Backgrounds(), MOVED, Sampling(images=1), Draw(0, 0, 1), tmp_path / "plan")
    facts = write_plan(
        part,
        table,
        Backgrounds(),
        AnnotatedMasks(kind="annotated"),
        Sampling(images=1),
        Draw(0, 0, 1),
        tmp_path / "own",
    )
    assert facts["n_rows"] == 4  # an annotated mask stays where it burns


def test_the_first_rows_are_of_different_scenes(part: PatchPart, tmp_path: Path) -> None:
    table = table_of(part)
    table["scene"] = ["crowded"] * len(table)
    table.loc[["free-0", "free-2"], "scene"] = ["lonely", "alone"]
    write_plan(part, table, Backgrounds(), MOVED, Sampling(images=1, max_tries=3), Draw(0, 0, 1), tmp_path)
    backgrounds = Plan.read(tmp_path, 32).rows["background"]
    assert set(table.loc[backgrounds, "scene"]) == {"crowded", "lonely", "alone"}


def test_a_detector_that_sees_no_fire_is_told(part: PatchPart, tmp_path: Path) -> None:
    with PatchWriter(tmp_path / "dark", part.meta) as writer:
        for patch_id in part.ids:
            patch = part.read(patch_id)
            writer.add_patch(patch_id, Patch(np.minimum(patch.bands, 10_000), patch.label, patch.ignore))
    dark = PatchPart(Patches(tmp_path / "dark"), part.ids)
    with pytest.raises(PlanError, match="murphy sees no fire.*use masks.source: label, or another detector"):
        choose(dark, table_of(dark), Backgrounds(), TransplantedMasks(source="murphy"))


def test_masks_can_be_what_a_detector_sees(part: PatchPart, tmp_path: Path) -> None:
    masks = AnnotatedMasks(kind="annotated", source="murphy", dilation=2)
    write_plan(part, table_of(part), Backgrounds(), masks, Sampling(images=1, max_tries=4), Draw(0, 0, 1), tmp_path)
    plan = Plan.read(tmp_path, 32)
    assert len(plan.rows) == 4
    differing = 0
    for row, label in zip(plan.rows.itertuples(), plan.labels, strict=True):
        patch = part.read(row.mask)
        seen = detect(["murphy"], dict(zip(BANDS, patch.bands, strict=True)), 50.0)["murphy"] & ~patch.ignore
        np.testing.assert_array_equal(label, seen)
        differing += (seen != patch.label).any()
    assert differing  # else the test could not tell the two sources apart
