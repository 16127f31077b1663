"""Paint that saturates more or less than real fires is told, and real fires are rejected as rarely as was asked for."""

from pathlib import Path

import numpy as np
import pytest

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.saturated_rule import SaturatedRule
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judgement

SIZE = 24


def fire(pixels: int, saturated: int) -> Patch:
    label = np.zeros(SIZE * SIZE, bool)
    label[:pixels] = True
    b7 = np.where(label, 30_000, 9_000).astype(np.uint16)
    b7[:saturated] = 65_535
    return Patch(b7.reshape(1, SIZE, SIZE), label.reshape(SIZE, SIZE), np.zeros((SIZE, SIZE), bool))


def fires(rng: np.random.Generator, n: int, mean: float = 0.1, alike: float = 0.05) -> list[Patch]:
    """Fires of all sizes whose pixels saturate with a chance of each fire's own."""
    total = 1 / alike - 1
    sizes = np.exp(rng.uniform(np.log(20), np.log(400), n)).astype(int)
    return [fire(int(m), int(rng.binomial(m, rng.beta(mean * total, (1 - mean) * total)))) for m in sizes]


def part_of(patches: list[Patch], folder: Path) -> PatchPart:
    with PatchWriter(folder, StoreMeta(study="t", bands=("B7",), patch_size=SIZE)) as writer:
        for number, patch in enumerate(patches):
            writer.add_patch(f"p{number}", patch)
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def judged(part: PatchPart, patches: list[Patch], quantile: float = 0.02) -> list[Judgement]:
    judge = SaturatedRule(rule="saturated", quantile=quantile).fitted(part)
    return [
        judge(ScreenedPatch(one.label, dilated(one.label, 3), np.zeros_like(one.bands), one.bands, ("B7",), np.nan))
        for one in patches
    ]


@pytest.mark.parametrize("n", [5, 12, 80])
def test_real_fires_are_rejected_about_as_rarely_as_was_asked_for(tmp_path: Path, n: int) -> None:
    rng, rejected = np.random.default_rng(n), list[bool]()
    for run in range(25):
        part = part_of(fires(rng, n), tmp_path / str(run))
        rejected += [bool(one.reason) for one in judged(part, fires(rng, 20), quantile=0.05)]
    # 10 % on both sides together, of whole numbers at most that; few fires leave their spread uncertain.
    assert np.mean(rejected) < (0.25 if n == 5 else 0.16)


def test_a_large_fire_that_never_saturates_or_always_does_is_no_real_one(tmp_path: Path) -> None:
    part = part_of(fires(np.random.default_rng(1), 40, mean=0.15, alike=0.02), tmp_path)
    never, usual, always = judged(part, [fire(300, 0), fire(300, 45), fire(300, 300)])
    assert never.score == 0 and "0% of the label saturate B7, of real fires of this size" in never.reason
    assert usual == Judgement(0.15)
    assert always.reason.startswith("100% of the label saturate B7")
    (small,) = judged(part, [fire(22, 0)])
    assert not small.reason, "of 22 pixels none saturates by chance"


def test_where_no_real_fire_saturates_paint_may_not(tmp_path: Path) -> None:
    part = part_of([fire(100, 0) for _ in range(8)], tmp_path)
    none, half = judged(part, [fire(100, 0), fire(100, 50)])
    assert not none.reason and half.reason


def test_too_small_fires_and_too_few_tell_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    few, many = part_of(fires(rng, 3), tmp_path / "few"), part_of(fires(rng, 30), tmp_path / "many")
    for judgement in (*judged(few, [fire(300, 0)]), *judged(many, [fire(19, 0), fire(19, 19)])):
        assert np.isnan(judgement.score) and judgement.reason == ""
