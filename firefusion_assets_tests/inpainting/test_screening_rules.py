"""Rules that painted patches have to pass beside the shares that changed and are detected."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.inpainting.screening_rules import SeamRule
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Screening
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, needs_patches

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
    return SEAM.fitted(part)(ScreenedPatch(edit, edit, before, after, part.meta.bands)).score


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
