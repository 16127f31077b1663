"""Copies of training fires are found whichever way they were moved; other fires are as alike as real ones are."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.memorised_rule import MemorisedRule
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judgement

BANDS = ("B2", "B5", "B6", "B7")
SIZE = 40
RULE = MemorisedRule(rule="memorised")


def fire(seed: int, pixels: int = 45) -> Patch:
    """A fire with a shape and a texture of its own on rough ground."""
    rng = np.random.default_rng(seed)
    bands = 9000 + 600 * rng.standard_normal((4, SIZE, SIZE))
    shape = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 2.5)
    shape[:10] = shape[-10:] = shape[:, :10] = shape[:, -10:] = -9
    peak = np.unravel_index(shape.argmax(), shape.shape)
    distance = np.hypot(*(np.indices((SIZE, SIZE)) - np.array(peak)[:, None, None])) - 8 * shape
    label = distance <= np.sort(distance, axis=None)[pixels - 1]
    heat = np.exp(gaussian_filter(rng.standard_normal((SIZE, SIZE)), 1) * 1.5)
    for band, gain in ((1, 3000), (2, 9000), (3, 25000)):
        bands[band, label] += gain * heat[label]
    return Patch(bands.clip(1, 65535).astype(np.uint16), label, np.zeros_like(label))


def part_of(patches: list[Patch], folder: Path) -> PatchPart:
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=SIZE)) as writer:
        for number, patch in enumerate(patches):
            writer.add_patch(f"p{number}", patch)
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def judged(
    rule: MemorisedRule, train: PatchPart, label: npt.NDArray[np.bool_], after: npt.NDArray[np.uint16]
) -> Judgement:
    edit = dilated(label, 4)
    return rule.fitted(train)(ScreenedPatch(label, edit, np.full_like(after, 9000), after, BANDS, 50.0))


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    return part_of([fire(seed) for seed in range(16)], tmp_path_factory.mktemp("train"))


def moved(source: Patch, turn: int, down: int, right: int, onto: npt.NDArray[np.uint16], gain: float = 1) -> Patch:
    """A fire turned, flipped, shifted and made brighter, on other ground."""
    label = np.roll(np.rot90(source.label, turn)[:, ::-1], (down, right), (0, 1))
    bands = np.roll(np.rot90(source.bands, turn, (1, 2))[..., ::-1], (down, right), (1, 2))
    painted = onto.copy()
    painted[:, label] = np.clip(bands[:, label] * gain, 1, 65535).astype(np.uint16)
    return Patch(painted, label, np.zeros_like(label))


@pytest.mark.parametrize(("turn", "shift", "gain"), [(0, (0, 0), 1), (1, (3, -2), 1), (3, (-4, 5), 0.8)])
def test_a_moved_training_fire_is_a_copy(train: PatchPart, turn: int, shift: tuple[int, int], gain: float) -> None:
    pasted = moved(train.read("p5"), turn, *shift, fire(99).bands, gain)
    judgement = judged(RULE, train, pasted.label, pasted.bands)
    assert judgement.score > 0.99 and judgement.reason.endswith("with the real fire of p5")


def test_a_training_fire_shifted_within_the_label_is_a_copy(train: PatchPart) -> None:
    pasted = moved(train.read("p3"), 2, 3, 0, fire(99).bands)
    wanted = np.roll(pasted.label, -3, axis=0)
    after = np.where(dilated(wanted, 4), pasted.bands, fire(99).bands)
    judgement = judged(RULE, train, wanted, after)
    assert judgement.score > 0.97 and judgement.reason.endswith("with the real fire of p3")


def test_other_fires_are_none(train: PatchPart) -> None:
    judgements = [judged(RULE, train, other.label, other.bands) for other in map(fire, range(100, 120))]
    assert sum(judgement.reason != "" for judgement in judgements) <= 1
    assert all(0 < judgement.score < 0.95 for judgement in judgements)


def test_small_fires_and_those_without_a_like_one_tell_nothing(train: PatchPart) -> None:
    for pixels in (12, 200):
        other = fire(7, pixels)
        assert np.isnan(judged(RULE, train, other.label, other.bands).score)


def test_a_threshold_can_be_given_and_few_fires_have_a_fixed_one(tmp_path: Path, train: PatchPart) -> None:
    other = fire(101)
    score = judged(RULE, train, other.label, other.bands).score
    strict = MemorisedRule(rule="memorised", max_correlation=score - 0.01)
    assert judged(strict, train, other.label, other.bands).reason.startswith(f"a copy: correlates by {score:.2f} with")
    few = part_of([fire(1), fire(2)], tmp_path)
    assert judged(RULE, few, other.label, other.bands).reason == ""
    assert judged(RULE, few, few.read("p1").label, few.read("p1").bands).reason != ""


def test_the_score_is_the_highest_of_all_correlations(tmp_path: Path) -> None:
    real, painted = fire(1, 24), fire(2, 30)
    train = part_of([real], tmp_path)
    logs = np.log(real.bands[1:].astype(float))
    scale = logs[:, real.label].std(1)[:, None, None]
    rows, columns = (np.flatnonzero(real.label.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    place = [np.flatnonzero(painted.label.any(axis)) for axis in (1, 0)]
    around = tuple(slice(max(one[0] - 6, 0), one[-1] + 7) for one in place)
    crop = (np.log(painted.bands[1:].astype(float)) / scale)[:, *around]
    found = []
    for turn in range(4):
        for flip in (1, -1):
            mask = np.rot90(real.label[box], turn)[:, ::flip]
            shape = np.rot90((logs / scale)[:, *box], turn, (1, 2))[..., ::flip][:, mask]
            for top in range(crop.shape[1] - mask.shape[0] + 1):
                for left in range(crop.shape[2] - mask.shape[1] + 1):
                    seen = crop[:, top : top + mask.shape[0], left : left + mask.shape[1]][:, mask]
                    one, other = (values - values.mean(1, keepdims=True) for values in (shape, seen))
                    found.append((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))
    assert judged(RULE, train, painted.label, painted.bands).score == pytest.approx(max(found), abs=1e-9)
