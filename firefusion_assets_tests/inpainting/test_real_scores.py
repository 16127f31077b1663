"""Real fires are judged by other fires alone, and as painted ones would be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.real_scores import score_real_fires
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.patchstore import PatchPart
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
