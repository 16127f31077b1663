"""Engine `physics` paints what burning ground adds, in every band that it can, and nothing elsewhere."""

from math import pi
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from firefusion_assets.engines.physics.settings import PhysicsGenerator
from firefusion_assets.ingest.sources.settings import FolderDataset
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study import load_study
from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Painter, ScreenedPatch
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.studies import TINY_STUDY, write_study

SIZE, N = 32, 6
GENERATOR = PhysicsGenerator(engine="physics")
DN = npt.NDArray[np.uint16]


def ground(bands: tuple[str, ...], n: int = N) -> DN:
    """Even land: 10 % of the sunlight comes back, and the thermal bands see 300 K."""
    rng = np.random.default_rng(1)
    warm = {"B10": 774.8853 / np.expm1(1321.0789 / 300), "B11": 480.8883 / np.expm1(1201.1442 / 300)}
    dn = [(warm[band] - 0.1) / 3.3420e-4 if band in warm else 0.2 / 2e-5 for band in bands]
    noise = rng.normal(0, 30, (n, len(bands), SIZE, SIZE))
    return np.rint(np.array(dn)[None, :, None, None] + noise).astype(np.uint16)


def painter(folder: Path, bands: tuple[str, ...]) -> Painter:
    with PatchWriter(folder / "store", StoreMeta(study="t", bands=bands, patch_size=SIZE)) as writer:
        nothing = np.zeros((SIZE, SIZE), bool)
        writer.add_patch("p", Patch(ground(bands, 1)[0], nothing, nothing))
    fit(GENERATOR, PatchPart(Patches(folder / "store"), ["p"]), folder / "model")
    return GENERATOR.load(folder / "model", Sampling(images=1))


def masks() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    labels, edits = np.zeros((2, N, SIZE, SIZE), bool)
    labels[:, 12:18, 10:20] = True
    edits[:, 9:21, 7:23] = True
    return labels, edits


@pytest.mark.parametrize("bands", [FILE_BANDS, ("B7", "B6", "B2"), ("B7",)])
def test_only_the_edit_mask_changes_and_the_seed_decides(tmp_path: Path, bands: tuple[str, ...]) -> None:
    paints, backgrounds = painter(tmp_path, bands), ground(bands)
    labels, edits = masks()
    painted = paints.paint(backgrounds, labels, edits, np.arange(N))
    outside = ~np.broadcast_to(edits[:, None], painted.shape)
    np.testing.assert_array_equal(painted[outside], backgrounds[outside])
    assert painted.min() >= 1 and painted.dtype == np.uint16
    np.testing.assert_array_equal(painted, paints.paint(backgrounds, labels, edits, np.arange(N)))
    alone = paints.paint(backgrounds[2:3], labels[2:3], edits[2:3], np.array([2]))
    np.testing.assert_array_equal(alone[0], painted[2])
    assert (painted != paints.paint(backgrounds, labels, edits, np.arange(N) + 1)).any()


def test_fires_look_like_fires_in_all_bands(tmp_path: Path) -> None:
    labels, edits = masks()
    backgrounds = ground(FILE_BANDS)
    painted = painter(tmp_path, FILE_BANDS).paint(backgrounds, labels, edits, np.arange(N))
    rise = (painted.astype(float) - backgrounds).transpose(1, 0, 2, 3)[:, labels].mean(axis=1)
    by_band = dict(zip(FILE_BANDS, rise, strict=True))
    assert by_band["B7"] > 10_000 > by_band["B6"] > by_band["B5"] > by_band["B2"]
    assert abs(by_band["B1"]) < 300 and by_band["B9"] == 0
    assert by_band["B10"] > 500 and by_band["B11"] > 300
    found = [
        detect(["murphy"], dict(zip(FILE_BANDS, bands, strict=True)), 50.0)["murphy"][label].mean()
        for bands, label in zip(painted, labels, strict=True)
    ]
    assert np.mean(found) > 0.7


def test_the_light_of_a_pixel_is_plancks(tmp_path: Path) -> None:
    """Of two bands the share in flames cancels: B6 rises against B7 as black bodies between 800 and 1,300 K do."""
    bands = ("B7", "B6")
    labels, edits = masks()
    backgrounds = ground(bands)
    painted = painter(tmp_path, bands).paint(backgrounds, labels, edits, np.arange(N)).astype(float)
    rise = (painted - backgrounds)[:, :, 14:16, 13:17]  # far from the edge, so that blurring mixes flames alone
    whole = (painted[:, 0, 14:16, 13:17] < 65535) & (rise[:, 0] > 8000)
    ratios = (rise[:, 1] / rise[:, 0])[whole]

    def shine(wavelength: float, kelvin: float, sun: float) -> float:
        return pi * 1.191042972e8 / wavelength**5 / np.expm1(14387.76877 / (wavelength * kelvin)) / sun

    coolest, hottest = (shine(1.609, kelvin, 248.0) / shine(2.201, kelvin, 85.5) for kelvin in (800, 1300))
    assert len(ratios) > 10
    assert (ratios > 0.8 * coolest).all() and (ratios < 1.2 * hottest).all()


def test_the_hottest_cores_are_the_brightest_and_are_learned(tmp_path: Path) -> None:
    """They saturate; a core that folded to a low DN would be learned as ground."""
    bands, n = ("B7", "B6"), 40
    labels, edits = (np.repeat(mask[:1], n, axis=0) for mask in masks())
    backgrounds = ground(bands, n)
    painted = painter(tmp_path, bands).paint(backgrounds, labels, edits, np.arange(n))
    hot = labels & (painted[:, 1] > 30_000)
    assert hot.sum() > 20 and (painted[:, 0][hot] == 65_535).mean() > 0.9
    for number in range(n):
        patch = ScreenedPatch(labels[number], edits[number], backgrounds[number], painted[number], bands, 50.0)
        assert GENERATOR.taught(patch)[hot[number]].all()


def test_what_is_learned_is_where_fire_adds_a_tenth_of_reflectance_to_b7() -> None:
    """Inside the edit mask; outside the label is the background's own."""
    label, edit = np.zeros((2, 4, 4), bool)
    label[0, 0] = label[2, 2] = edit[1:, 1:] = True
    before = np.full((2, 4, 4), 10_000, np.uint16)
    after = before.copy()
    after[1, 1, 1:3] = 15_000, 14_999
    after[1, 0, 3] = 60_000
    learned = GENERATOR.taught(ScreenedPatch(label, edit, before, after, ("B2", "B7"), 50.0))
    assert np.argwhere(learned).tolist() == [[0, 0], [1, 1]]


def test_other_images_than_landsats_are_refused(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "s", TINY_STUDY))
    config = Augmentation.model_construct()
    assert list(GENERATOR.misfits(study, config)) == [] and GENERATOR.expected(study) == "better"
    bandless = study.model_copy(update={"dataset": study.dataset.model_copy(update={"bands": ("B2", "B6")})})
    assert "needs B7" in next(iter(GENERATOR.misfits(bandless, config)))
    other = FolderDataset.model_construct(source="folder", bands=("N", "R"))
    folder = study.model_copy(update={"dataset": other})
    assert "DN of Landsat-8 only" in next(iter(GENERATOR.misfits(folder, config)))
    assert GENERATOR.expected(folder) == ""
