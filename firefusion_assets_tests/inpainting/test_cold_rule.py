"""A label of which a part is ground is told from one that burns as real fires do."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.cold_rule import ColdRule
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judgement

BANDS = ("B2", "B6", "B7")
SIZE = 48
FIRE = np.array([0.02, 0.5, 1.4])
SCAR = np.array([-0.1, -0.8, 0.1])

Bands = npt.NDArray[np.uint16]


def scene(seed: int, gain: npt.NDArray[np.float64], cold: float = 0.0) -> tuple[Bands, Bands, npt.NDArray[np.bool_]]:
    """Ground, the same with an event of 12 x 12 px of which a share stayed as it was, and where that is."""
    rng = np.random.default_rng(seed)
    ground = np.array([9.1, 9.3, 9.2])[:, None, None] + 0.05 * rng.standard_normal((3, SIZE, SIZE))
    label = np.zeros((SIZE, SIZE), bool)
    label[20:32, 10:22] = True
    burning = label & (rng.random((SIZE, SIZE)) >= cold)
    event = ground + burning * gain[:, None, None] * rng.uniform(0.6, 1.4, (SIZE, SIZE))
    return np.exp(ground).astype(np.uint16), np.exp(event).clip(1, 65535).astype(np.uint16), label


def part_of(folder: Path, gain: npt.NDArray[np.float64], cold: float = 0.0, fires: int = 6) -> PatchPart:
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=SIZE)) as writer:
        for seed in range(fires):
            _, event, label = scene(seed, gain, cold)
            writer.add_patch(f"p{seed}", Patch(event, label, label & False))
        ground, _, label = scene(50, gain)
        writer.add_patch("free", Patch(ground, label & False, label & False))
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def judged(part: PatchPart, gain: npt.NDArray[np.float64], cold: float, **settings: object) -> Judgement:
    ground, event, label = scene(99, gain, cold)
    rule = ColdRule.model_validate({"rule": "cold"} | settings)
    return rule.fitted(part)(ScreenedPatch(label, dilated(label, 3), ground, event, BANDS, 50.0))


@pytest.mark.parametrize("gain", [FIRE, SCAR], ids=["fire", "scar"])
def test_half_a_label_of_ground_is_told_and_a_whole_one_passes(tmp_path: Path, gain: npt.NDArray[np.float64]) -> None:
    part = part_of(tmp_path, gain)
    assert judged(part, gain, 0.0) == Judgement(0.0, limit=0.25)
    half = judged(part, gain, 0.5)
    assert half.score == pytest.approx(0.5, abs=0.1) and "as cold as ground, allowed 25%" in half.reason
    assert not judged(part, gain, 0.1).reason


def test_as_much_ground_as_in_real_labels_is_allowed(tmp_path: Path) -> None:
    part = part_of(tmp_path, FIRE, cold=0.4)
    assert not judged(part, FIRE, 0.35).reason
    assert judged(part, FIRE, 0.8).reason
    assert "allowed 30%" in judged(part, FIRE, 0.4, max_share=0.3).reason


def test_what_cannot_be_told_passes(tmp_path: Path) -> None:
    part = part_of(tmp_path / "none", FIRE, fires=0)
    assert np.isnan(judged(part, FIRE, 1.0).score) and not judged(part, FIRE, 1.0).reason
    ground, event, label = scene(99, FIRE, 1.0)
    judge = ColdRule(rule="cold").fitted(part_of(tmp_path / "some", FIRE))
    small = label & (np.add.outer(np.arange(SIZE), np.arange(SIZE)) < 34)
    for few, edit in ((small, dilated(small, 3)), (label, label | True)):
        told = judge(ScreenedPatch(few, edit, ground, event, BANDS, 50.0))
        assert np.isnan(told.score) and not told.reason
