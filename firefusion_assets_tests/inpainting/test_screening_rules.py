"""Rules that painted patches have to pass beside the shares that changed and are detected."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting import screening_rules
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.inpainting.screening_rules import OutsideRule, SeamRule, SpectrumRule
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study import StudyError
from firefusion_assets.study.augmentation import Screening
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judgement, Rule
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, needs_patches
from firefusion_assets_tests.builders.studies import TINY_STUDY, lineage_of, write_study

SEAM = SeamRule(rule="seam")


def part_of(patches: list[npt.NDArray[np.uint16]], folder: Path) -> PatchPart:
    nowhere = np.zeros(patches[0].shape[1:], bool)
    names = tuple(f"B{number}" for number in range(1, len(patches[0]) + 1))
    with PatchWriter(folder, StoreMeta(study="t", bands=names, patch_size=len(nowhere))) as writer:
        for number, bands in enumerate(patches):
            writer.add_patch(f"p{number}", Patch(bands, nowhere, nowhere))
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def rough(seed: int, size: int = 48) -> npt.NDArray[np.uint16]:
    """Ground whose neighbours are alike."""
    steps = np.random.default_rng(seed).normal(0, 60, (2, size, size))
    return (12000 + steps.cumsum(1).cumsum(2) / 10).clip(2000, 60000).astype(np.uint16)


def box(size: int, at: int, patch_size: int) -> npt.NDArray[np.bool_]:
    label = np.zeros((patch_size, patch_size), bool)
    label[at : at + size, at : at + size] = True
    return dilated(label, 3)


def score(part: PatchPart, before: npt.NDArray[np.uint16], edit: npt.NDArray[np.bool_], factor: float = 1) -> float:
    after = before.copy()
    after[:, edit] = (after[:, edit] * factor).astype(np.uint16)
    return SEAM.fitted(part)(ScreenedPatch(edit, edit, before, after, part.meta.bands, 50.0)).score


def test_a_step_all_along_the_border_is_measured_against_the_grounds_own(tmp_path: Path) -> None:
    grounds = [rough(seed) for seed in range(1, 6)]
    part, before, edit = part_of(grounds, tmp_path), rough(9), box(8, 20, 48)
    pairs = [
        ((y, x), (y + down, x + right))
        for y, x in np.argwhere(edit)
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0))
        if not edit[y + down, x + right]
    ]

    def mean_step(bands: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.mean([np.log(bands[:, *inside]) - np.log(bands[:, *outside]) for inside, outside in pairs], axis=0)

    turned = [np.rot90(each, k, (1, 2))[..., ::flip] for each in grounds for k in range(4) for flip in (1, -1)]
    chance = np.sqrt(np.mean([mean_step(one.astype(float)) ** 2 for one in turned], axis=0))
    after = before.astype(float)
    after[:, edit] = np.floor(after[:, edit] * 1.02)
    assert score(part, before, edit, 1.02) == pytest.approx((np.abs(mean_step(after)) / chance).max())
    assert score(part, before, edit) < 3 < score(part, before, edit, 1.05)


def test_fill_at_the_border_is_left_out_and_a_border_of_fill_alone_tells_nothing(tmp_path: Path) -> None:
    part, before, edit = part_of([rough(1), rough(2)], tmp_path), rough(9), box(8, 20, 48)
    with_fill = before.copy()
    with_fill[:, :, :24] = 0
    assert 0 < score(part, with_fill, edit) < 3
    assert np.isnan(score(part, np.zeros_like(before), edit))
    assert np.isnan(score(part, before, np.ones_like(edit)))


def test_a_rule_rejects_in_words_beside_the_others(tmp_path: Path) -> None:
    part, before, edit = part_of([rough(1), rough(2)], tmp_path), rough(9), box(8, 20, 48)
    after = before.copy()
    after[:, edit] = (after[:, edit] * 1.5).astype(np.uint16)
    screen = Screen(Screening.model_validate({"rules": [{"rule": "seam"}]}), part)
    verdict = screen(Patch(before, np.zeros_like(edit), np.zeros_like(edit)), after, edit, edit, 50)
    assert not verdict.accepted and verdict.reason.startswith("a seam: the step around the painted area is")
    assert verdict.scores["seam"] > 3
    with pytest.raises(ValueError, match="each rule may be named once"):
        Screening.model_validate({"rules": [{"rule": "seam"}, {"rule": "seam", "max_contrast": 9}]})


@needs_patches
def test_on_real_ground_a_box_five_percent_brighter_is_a_seam_and_nothing_is_none(tmp_path: Path) -> None:
    files = sorted((REAL_PATCHES / "landsat_patches").rglob("*.tif"))
    patches = []
    for file in files:
        with rasterio.open(file) as dataset:
            patches.append(dataset.read())
    part, rng = part_of(patches[::2], tmp_path), np.random.default_rng(0)
    plain, brighter = [], []
    for before in patches[1::2]:
        for size in (16, 24, 40):
            edit = box(size, int(rng.integers(4, 256 - size - 4)), 256)
            plain.append(score(part, before, edit))
            brighter.append(score(part, before, edit, 1.05))
    assert np.mean(np.array(plain) <= 3) > 0.9 and np.mean(np.array(brighter) > 3) > 0.9


BANDS = ("B2", "B3", "B4", "B5", "B6", "B7")


def burning(seed: int, size: int = 7, *, saturated: float = 0.4) -> Patch:
    """Ground with a fire: bright in B7 and less so in B6, with some of its pixels saturated."""
    rng = np.random.default_rng(seed)
    bands = rng.normal(9000, 300, (6, 32, 32))
    label = np.zeros((32, 32), bool)
    label[10 : 10 + size, 12 : 12 + size] = True
    n = size * size
    bands[4, label] = rng.normal(24000, 2500, n)
    bands[5, label] = rng.normal(45000, 4000, n)
    hottest = np.flatnonzero(label)[: round(saturated * n)]
    bands[5].flat[hottest] = 65535
    return Patch(bands.clip(1, 65535).astype(np.uint16), label, np.zeros_like(label))


def train_of(patches: list[Patch], folder: Path) -> PatchPart:
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=len(patches[0].label))) as writer:
        for number, patch in enumerate(patches):
            writer.add_patch(f"p{number}", patch)
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def judged(rule: Rule, train: PatchPart, patch: Patch, sun: float = 50.0) -> Judgement:
    cold = np.full_like(patch.bands, 9000)
    edit = dilated(patch.label, 4)
    return rule.fitted(train)(ScreenedPatch(patch.label, edit, cold, patch.bands, train.meta.bands, sun))


@pytest.fixture
def train(tmp_path: Path) -> PatchPart:
    return train_of([burning(seed, 6 + seed % 3, saturated=0.2 + 0.05 * seed) for seed in range(8)], tmp_path / "train")


def test_pixels_unlike_real_fire_in_all_bands_together_are_found(train: PatchPart) -> None:
    rule = SpectrumRule(rule="spectrum", max_share=0.3)
    assert judged(rule, train, burning(21)).reason == ""
    half_cold = burning(21)
    half_cold.bands[:, 10:14, 12:19] = 9000
    judgement = judged(rule, train, half_cold)
    assert 28 / 49 <= judgement.score < 0.7, "the cold ones, and a few of the hot ones"
    assert judgement.reason.endswith("% of the label looks like no real fire pixel in all bands together")
    swapped = burning(21)
    swapped.bands[4:] = swapped.bands[:3:-1]  # hot in B6, less so in B7: each band alone has real values
    assert judged(rule, train, swapped).score > 0.9
    eight_bits = burning(21)
    eight_bits.bands[:] = eight_bits.bands // 257
    assert judged(rule, train, eight_bits).score == 1


def test_the_usual_distance_is_taken_from_other_patches(tmp_path: Path) -> None:
    """Of one patch alone nothing is known; patches of fires of their own are far from each other."""
    assert np.isnan(judged(SpectrumRule(rule="spectrum"), train_of([burning(1)], tmp_path / "one"), burning(2)).score)
    twins = [burning(1), burning(1)]
    twins[1].bands[:, twins[1].label] = (twins[1].bands[:, twins[1].label] * 0.9).astype(np.uint16)
    two = train_of(twins, tmp_path / "two")
    assert judged(SpectrumRule(rule="spectrum"), two, burning(3)).reason == "", "as near as the two are to each other"


def test_one_fire_that_outnumbers_the_others_tells_nothing(train: PatchPart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening_rules, "_PIXELS", 1)
    assert np.isnan(judged(SpectrumRule(rule="spectrum"), train, burning(21)).score)


def test_fire_outside_the_label_is_found_and_the_backgrounds_own_is_not_held_against_it(train: PatchPart) -> None:
    rule = OutsideRule(rule="outside")
    assert judged(rule, train, burning(22)) == Judgement(0.0, limit=0.5)
    spilt = burning(22)
    spilt.bands[4:, 10:17, 19:23] = [[[24000]], [[60000]]]
    told = judged(rule, train, spilt)
    assert told.score == pytest.approx(28 / 49) and told.reason == "fire outside the label: 57% of its size"
    edit = dilated(spilt.label, 4)
    before = ScreenedPatch(spilt.label, edit, spilt.bands, spilt.bands, train.meta.bands, 50.0)
    assert rule.fitted(train)(before) == Judgement(0.0, limit=0.5)
    assert np.isnan(judged(rule, train, spilt, float("nan")).score)


def test_rules_say_which_bands_they_lack(tmp_path: Path) -> None:
    config = "generator: {engine: copy-paste}\nsampling: {images: 1}\nscreening: {rules: [{rule: RULE}]}"
    bandless = TINY_STUDY.replace("seed: 3}", "seed: 3, bands: [B6, B2]}").replace(
        "bands: [B7, B6, B2],", "bands: [B6],"
    )
    for rule, expected in (("saturated", "rule: saturated looks at B7"), ("outside", "detector: murphy needs B5, B7")):
        folder = write_study(tmp_path / rule, bandless, {"baseline": "", "own": config.replace("RULE", rule)})
        with pytest.raises(StudyError, match=rf"own\.yaml: screening\.rules\.{expected}"):
            lineage_of(folder).config("own")
