"""Faults planted into paint on real patches are found, each by the rule that is there for it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from scipy.ndimage import label as components_of

from firefusion_assets.core.dilation import dilated
from firefusion_assets.engines.copy_paste.painter import CopyPastePainter
from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.inpainting.screening import Screen, Verdict
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Screening
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, needs_patches

pytestmark = needs_patches
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11")
RULES = [{"rule": name} for name in ("seam", "saturated", "outside", "memorised", "depth", "cold")]

Bands = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    """The real fire patch of ten bands and real ground, of which two patches are painted on."""
    folder = tmp_path_factory.mktemp("real")
    files = {file.stem: file for file in (REAL_PATCHES / "landsat_patches").glob("*.tif")}
    (mask_file,) = (REAL_PATCHES / "masks_patches").glob("*099069*")
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=256)) as writer:
        for name, file in sorted(files.items()):
            if "099069" in name or "020039" in name:
                label = np.zeros((256, 256), bool)
                if "099069" in name:
                    with rasterio.open(mask_file) as mask:
                        label = mask.read(1) > 0
                with rasterio.open(file) as raster:
                    writer.add_patch(
                        name[10:].partition("_")[0] + name[-5:], Patch(raster.read(), label, label & False)
                    )
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


class Painted(NamedTuple):
    """A real fire moved to other real ground by engine copy-paste."""

    background: Patch
    label: Mask
    edit: Mask
    after: Bands


@pytest.fixture(scope="module")
def moved(part: PatchPart, tmp_path_factory: pytest.TempPathFactory) -> Painted:
    engine, model = CopyPasteGenerator(engine="copy-paste"), tmp_path_factory.mktemp("model")
    fit(engine, part, model)
    background = part.read("02003900004")
    label = np.rot90(part.read("09906900819").label)[:, ::-1].copy()
    edit = dilated(label, 8)  # less cuts the glow around so large a fire, and that is a seam
    (after,) = CopyPastePainter(model).paint(background.bands[None], label[None], edit[None], np.array([1]))
    return Painted(background, label, edit, after)


def judged(part: PatchPart, painted: Painted, after: Bands, **settings: object) -> Verdict:
    screen = Screen(Screening.model_validate({"detectors": ["murphy"], "rules": RULES} | settings), part)
    return screen(painted.background, after, painted.label, painted.edit, 55.0)


def test_a_real_fire_moved_passes_all_but_memorised(part: PatchPart, moved: Painted) -> None:
    verdict = judged(part, moved, moved.after)
    assert verdict.reason.startswith("a copy: correlates by") and ";" not in verdict.reason
    assert verdict.scores["memorised"] > 0.95 and verdict.detected_share > 0.5


def test_paint_that_is_shifted_within_the_label_is_the_same_copy(part: PatchPart, moved: Painted) -> None:
    shifted = np.where(moved.edit, np.roll(moved.after, 3, axis=2), moved.after)
    assert "a copy" in judged(part, moved, shifted).reason


@pytest.mark.parametrize(
    ("fault", "reason"), [("nothing", "nothing was painted"), ("seam", "a seam"), ("depth", "the label's values"),
                          ("outside", "fire outside the label"), ("cold", "of the label changed"),
                          ("half", "of the label are as cold as ground")],
)  # fmt: skip
def test_a_planted_fault_is_told_by_name(part: PatchPart, moved: Painted, fault: str, reason: str) -> None:
    after = moved.after.copy()
    if fault == "nothing":
        after = moved.background.bands
    elif fault == "seam":
        after[:, moved.edit & ~moved.label] = (after[:, moved.edit & ~moved.label] * 1.05).astype(np.uint16)
    elif fault == "depth":
        after[:, moved.edit] = after[:, moved.edit] // 257 * 257 + 128
    elif fault == "outside":
        hottest = moved.after[:, moved.label][:, moved.after[6, moved.label].argmax()]
        after[:, moved.edit & ~moved.label] = hottest[:, None]
    else:
        columns = np.nonzero(moved.label)[1]
        cold = moved.label & (np.arange(256) % 4 > 0 if fault == "cold" else np.arange(256) < np.median(columns))
        after[:, cold] = moved.background.bands[:, cold]
    assert reason in judged(part, moved, after).reason


def test_one_front_of_several_that_stayed_ground_is_told_or_ignored(part: PatchPart, moved: Painted) -> None:
    numbers, n = components_of(moved.label, np.ones((3, 3)))
    sizes = np.bincount(numbers[moved.label])
    cold = numbers == np.argsort(sizes)[-2]
    assert n > 1 and cold.sum() >= 10, "otherwise this test says nothing"
    after = np.where(cold, moved.background.bands, moved.after)
    together, ignored, rejected = (
        judged(part, moved, after, rules=[], label="mask", fires=fires) for fires in ("together", "ignore", "reject")
    )
    assert together.accepted and together.label[cold].all(), "by the share of all, ground is learned as fire"
    assert ignored.accepted and not ignored.label[cold].any() and ignored.ignore[cold].all()
    assert f"of {n} fires" in rejected.reason and f"{cold.sum()} px" in rejected.reason
