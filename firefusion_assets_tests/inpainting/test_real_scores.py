"""Real fires are judged by other fires alone, and as painted ones would be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.real_scores import real_limits, score_real_fires
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.patchstore.part import LeakError
from firefusion_assets.study.augmentation import Screening
from firefusion_assets_tests.builders.parts import make_part

SCREENING = Screening.model_validate(
    {"detectors": ["murphy"], "rules": [{"rule": "memorised"}, {"rule": "seam"}, {"rule": "saturated"}]}
)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    return make_part(tmp_path_factory.mktemp("many"), size=48, n_fire=12)


def scores(part: PatchPart) -> pd.DataFrame:
    return score_real_fires(SCREENING, part, pd.Series(50.0, part.ids), dilation=3)


def test_each_burning_patch_is_judged_once_and_never_by_itself(many: PatchPart) -> None:
    table = scores(many)
    assert sorted(table["patch_id"]) == sorted(patch_id for patch_id in many.ids if patch_id.startswith("fire"))
    compared = table["memorised_score"].dropna()
    assert len(compared) and (compared < 0.99).all(), "a fire correlates perfectly with itself"
    assert (table["nearest_distance"].dropna() > 0).all(), "and is no distance from itself"


def test_the_scores_are_those_of_what_the_patch_holds(many: PatchPart) -> None:
    for row in scores(many).itertuples():
        patch = many.read(row.patch_id)
        named = dict(zip(many.meta.bands, patch.bands, strict=True))
        edit = dilated(patch.label, 3) & ~patch.ignore
        seen = (detect(["murphy"], named, 50.0)["murphy"] & edit) | ((named["B7"] == 65_535) & edit)
        assert row.detected_share == pytest.approx(seen[patch.label].mean())


def test_the_same_part_gets_the_same_scores(many: PatchPart) -> None:
    pd.testing.assert_frame_equal(scores(many), scores(many.only(many.ids)))


@pytest.mark.parametrize("n_fire", [0, 1])
def test_without_another_fire_nothing_is_judged(tmp_path: Path, n_fire: int) -> None:
    assert scores(make_part(tmp_path, n_fire=n_fire)).empty


def test_a_part_of_a_part_holds_no_other_patch(many: PatchPart) -> None:
    some = many.only(many.ids[:3])
    assert some.ids == many.ids[:3] and some.statistics.n_pixels < many.statistics.n_pixels
    with pytest.raises(LeakError, match=many.ids[3]):
        some.read(many.ids[3])
    with pytest.raises(LeakError, match=many.ids[3]):
        some.only([many.ids[3]])


def test_what_burns_everywhere_has_no_ground_and_is_judged_all_the_same(tmp_path: Path) -> None:
    part = make_part(tmp_path, size=16, n_fire=3)
    table = score_real_fires(Screening(), part, pd.Series(np.nan, part.ids), dilation=16)
    assert len(table) == 3 and "detected_share" not in table


AUTO = Screening.model_validate(
    {
        "detectors": ["murphy"],
        "min_changed": "auto",
        "min_detected": "auto",
        "quantile": 0.9,
        "rules": [
            {"rule": "outside", "max_share": "auto", "quantile": 0.8},
            {"rule": "seam", "max_contrast": "auto"},
            {"rule": "spectrum", "max_share": "auto"},
        ],
    }
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    return make_part(tmp_path_factory.mktemp("large"), size=48, n_fire=30)


def limits(part: PatchPart, screening: Screening = AUTO, dilation: int = 3) -> dict[str, float]:
    return dict(real_limits(screening, part, pd.Series(50.0, part.ids), dilation))


def test_auto_is_the_quantile_of_the_train_parts_own_large_fires(large: PatchPart) -> None:
    detected, beside = [], []
    for patch in map(large.read, large.ids):
        if patch.label.sum() >= 20:
            named = dict(zip(large.meta.bands, patch.bands, strict=True))
            edit = dilated(patch.label, 3) & ~patch.ignore
            seen = detect(["murphy"], named, 50.0)["murphy"] & edit
            detected.append(((seen | (named["B7"] == 65_535)) & patch.label).sum() / patch.label.sum())
            beside.append((seen & ~patch.label).sum() / patch.label.sum())
    assert len(detected) >= 8 and np.std(detected) > 0, "otherwise this test says nothing"
    found = limits(large)
    assert found["detected"] == pytest.approx(np.quantile(detected, 0.1))
    assert found["outside"] == pytest.approx(np.quantile(beside, 0.8))
    assert set(found) == {"changed", "detected", "outside", "seam", "spectrum"}
    assert found["changed"] == 0.95, "all pixels of these fires differ from their ground"


def test_the_border_of_a_wider_edit_mask_has_a_limit_of_its_own(large: PatchPart) -> None:
    assert limits(large)["seam"] != limits(large, dilation=6)["seam"]


def test_as_many_real_fires_pass_as_the_quantiles_say(large: PatchPart) -> None:
    sun = pd.Series(50.0, large.ids)
    seam_alone = AUTO.model_copy(update={"min_changed": 0.0, "min_detected": 0.0, "rules": AUTO.rules[1:2]})
    table = score_real_fires(seam_alone, large, sun, 3, limits(large, seam_alone))
    sizes = table["patch_id"].map(lambda patch_id: large.read(patch_id).label.sum())
    assert table.loc[sizes >= 20, "accepted"].mean() == pytest.approx(0.98, abs=0.1)


def test_where_few_large_fires_burn_the_default_stands_in_and_says_so(tmp_path: Path) -> None:
    part, told = make_part(tmp_path, n_fire=5), list[str]()
    found = real_limits(AUTO, part, pd.Series(50.0, part.ids), 3, told.append)
    assert found == {"changed": 0.5, "detected": 0.25, "outside": 0.5, "seam": 3.0, "spectrum": 0.5}
    assert len(told) == 5 and "screening.min_detected: auto needs 8 real fires of 20 px" in told[1]
    assert "screening.rules.seam.max_contrast" in told[3] and "0.5 stands in: give a number" in told[0]


def test_a_number_is_left_as_it_is(large: PatchPart) -> None:
    assert limits(large, SCREENING) == {}
    assert limits(large, Screening(min_detected="auto")) == {}, "nothing detects"


def test_paint_is_held_to_the_limits_of_real_fires(large: PatchPart) -> None:
    """Paint of which half is found passes the default, and fails where nearly all of real fires is found."""
    patch_id = next(one for one in large.ids if large.read(one).label.sum() >= 40)
    real = large.read(patch_id)
    label = real.label & ~real.ignore
    painted = real.bands.copy()
    cold = label & (np.indices(label.shape).sum(0) % 2 > 0)
    painted[:, cold] = 9000
    before = Patch(np.full_like(painted, 8000), label & False, real.ignore)
    edit = dilated(label, 3)
    both = [
        Screen(screening, large, known)(before, painted, label, edit, 50.0)
        for screening, known in (
            (Screening(detectors=("murphy",)), None),
            (Screening(detectors=("murphy",), min_detected="auto"), {"detected": 0.9}),
        )
    ]
    assert both[0].accepted and 0.25 < both[0].detected_share < 0.7
    assert "of the label is detected" in both[1].reason and both[1].limits == {"detected": 0.9}
