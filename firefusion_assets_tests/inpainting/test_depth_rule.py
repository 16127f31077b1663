"""Paint that went through 8 bits is told from paint as fine as the data."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.depth_rule import DepthRule
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import Judgement

BANDS = ("B2", "B6", "B7", "B10")
SIZE = 32


def ground(seed: int, spread: float = 700) -> npt.NDArray[np.uint16]:
    noise = np.random.default_rng(seed).standard_normal((4, SIZE, SIZE))
    return (np.array([9000, 12000, 10000, 26000])[:, None, None] + spread * noise).astype(np.uint16)


def part_of(patches: list[npt.NDArray[np.uint16]], folder: Path) -> PatchPart:
    nowhere = np.zeros((SIZE, SIZE), bool)
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=SIZE)) as writer:
        for number, bands in enumerate(patches):
            writer.add_patch(f"p{number}", Patch(bands, nowhere, nowhere))
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def burning(seed: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint16]]:
    """A fire of 35 px, some of it saturated."""
    rng, label = np.random.default_rng(seed), np.zeros((SIZE, SIZE), bool)
    label[10:15, 8:15] = True
    bands = ground(seed).astype(float)
    bands[:, label] += np.array([1000, 9000, 30000, 800])[:, None] * rng.lognormal(0, 0.5, 35)
    return label, bands.clip(1, 65535).astype(np.uint16)


def judged(train: PatchPart, label: npt.NDArray[np.bool_], after: npt.NDArray[np.uint16]) -> Judgement:
    edit = dilated(label, 3)
    return DepthRule(rule="depth").fitted(train)(ScreenedPatch(label, edit, ground(77), after, BANDS, 50.0))


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    return part_of([ground(seed) for seed in range(4)], tmp_path_factory.mktemp("train"))


def eight_bit(dn: npt.NDArray[np.uint16], stretch: float = 1) -> npt.NDArray[np.uint16]:
    """What is left of DN in a picture: 256 values, evenly spaced after a power."""
    picture = np.rint(255 * (dn / 65535) ** stretch)
    return np.rint(65535 * (picture / 255) ** (1 / stretch)).astype(np.uint16)


def test_real_values_pass_and_those_of_a_picture_do_not(train: PatchPart) -> None:
    passed = [judged(train, *burning(seed)).reason == "" for seed in range(100, 300)]
    assert np.mean(passed) > 0.99
    for stretch in (1, 0.5):
        told = [judged(train, label, eight_bit(dn, stretch)) for label, dn in map(burning, range(100, 140))]
        assert (
            np.mean([judgement.reason.startswith("the label's values lie on a coarse grid") for judgement in told])
            > 0.9
        )
        assert all(judgement.score < 0.01 for judgement in told)


def test_data_that_are_as_coarse_are_no_reason(tmp_path: Path) -> None:
    coarse = part_of([eight_bit(ground(seed)) for seed in range(4)], tmp_path)
    label, dn = burning(1)
    assert judged(coarse, label, eight_bit(dn)) == Judgement(1.0, limit=1e-4)


def test_few_values_tell_nothing(train: PatchPart) -> None:
    label, dn = burning(1)
    few = np.zeros_like(label)
    few[10, 8:15] = True
    assert np.isnan(judged(train, few, eight_bit(dn)).score)
    assert np.isnan(judged(train, label, np.full_like(dn, 65535)).score)
