"""A copied fire is recognised wherever it was put and however it was turned; another fire is not."""

import numpy as np
import pytest

from firefusion_assets.core.cropping import trimmed
from firefusion_assets.core.orientation import turned
from firefusion_assets.inpainting.nearest import TrainingFires, cut_around
from firefusion_assets.inpainting.verdicts import COPY_DISTANCE
from firefusion_assets.patchstore import Patch, PatchPart


def on_other_ground(part: PatchPart, patch_id: str, turn: int, noise: float = 0) -> Patch:
    """Return a smooth patch with one real fire's contrast put onto it."""
    real = part.read(patch_id)
    shape, y, x = trimmed(real.label)
    height, width = shape.shape
    box = real.bands[:, y : y + height, x : x + width].astype(float)
    near = np.median(real.bands[:, ~real.label & ~real.ignore], axis=1)
    contrast = turned(box - near[:, None, None], turn)
    shape = turned(shape, turn)
    rng = np.random.default_rng(0)
    bands = np.full((4, 32, 32), 9000.0)
    label = np.zeros((32, 32), bool)
    label[5 : 5 + shape.shape[0], 9 : 9 + shape.shape[1]] = shape
    window = bands[:, 5 : 5 + shape.shape[0], 9 : 9 + shape.shape[1]]
    window[:, shape] = (9000 + contrast * (1 + noise * rng.standard_normal(contrast.shape)))[:, shape]
    return Patch(np.clip(bands, 1, 65535).astype(np.uint16), label, np.zeros((32, 32), bool))


def large_fires(part: PatchPart) -> list[str]:
    return [patch_id for patch_id in part.ids if part.read(patch_id).label.sum() >= 12]


@pytest.mark.parametrize("turn", range(8))
def test_a_copy_is_recognised(part: PatchPart, turn: int) -> None:
    fires = TrainingFires(part)
    for patch_id in large_fires(part):
        nearest = fires.nearest(on_other_ground(part, patch_id, turn))
        assert nearest.patch_id == patch_id
        assert nearest.distance < COPY_DISTANCE


def test_a_varied_fire_is_no_copy(part: PatchPart) -> None:
    fires = TrainingFires(part)
    for patch_id in large_fires(part):
        assert fires.nearest(on_other_ground(part, patch_id, 0, noise=0.5)).distance > COPY_DISTANCE


def test_single_pixels_are_not_compared(part: PatchPart) -> None:
    label = np.zeros((32, 32), bool)
    label[4, 4] = True
    nearest = TrainingFires(part).nearest(Patch(np.full((4, 32, 32), 9000, np.uint16), label, np.zeros_like(label)))
    assert nearest.patch_id == "" and np.isnan(nearest.distance)


def test_pictures_around_a_pixel_stay_inside_the_patch(part: PatchPart) -> None:
    patch = part.read(part.ids[1])
    np.testing.assert_array_equal(cut_around(patch, 0, 31, 10), patch.bands[:, :10, 22:])
    np.testing.assert_array_equal(cut_around(patch, 16, 16, 10), patch.bands[:, 11:21, 11:21])
