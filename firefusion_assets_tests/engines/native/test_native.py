"""The diffusion engine: what it learns from, how it trains and resumes, and how its windows cover a patch."""

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from diffusers import UNet2DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.stats import ks_2samp

from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.memory import Parts
from firefusion_assets.engines.native.calibration import Calibration
from firefusion_assets.engines.native.contrast import Contrast, fill_in, fit_contrast, zones
from firefusion_assets.engines.native.crops import Crops, CropStream, crop_of, stacked
from firefusion_assets.engines.native.diffusion_noise import NoiseMix, fit_noise
from firefusion_assets.engines.native.fitting import Example, fit, noisy_example, training_loss
from firefusion_assets.engines.native.painter import NativePainter
from firefusion_assets.engines.native.pipeline import NativeInpaintPipeline
from firefusion_assets.engines.native.scaling import Scaling, fit_scaling
from firefusion_assets.engines.native.settings import NativeGenerator
from firefusion_assets.engines.windows import next_window
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Augmentation
from firefusion_assets.study.models import Study
from firefusion_assets_tests.builders.small_devices import hold_at_most

SIZE = 24
BANDS = ("B2", "B6", "B7")
TINY = NativeGenerator(engine="native", crop=16, steps=6, batch_size=2, channels=(8, 16), checkpoint_every=2)


def write_store(folder: Path) -> list[str]:
    """Six patches of 24 px; every other one with a fire, the first with fill and ignored pixels."""
    ids = [f"p{number}" for number in range(6)]
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=SIZE)) as writer:
        for number, patch_id in enumerate(ids):
            rng = np.random.default_rng(number)
            dn = rng.normal((9000, 12000, 8000), (500, 1000, 800), (SIZE, SIZE, 3)).transpose(2, 0, 1)
            label, ignore = np.zeros((2, SIZE, SIZE), bool)
            if number % 2 == 0:
                label[8:12, number : number + 7] = True
                dn[2, label] += rng.uniform(20000, 70000, int(label.sum()))
            if number == 0:
                dn[:, :3] = 0
                ignore[:, -2:] = True
            writer.add_patch(patch_id, Patch(np.clip(dn, 0, 65535).astype(np.uint16), label, ignore))
    return ids


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    folder = tmp_path_factory.mktemp("store")
    ids = write_store(folder)
    return PatchPart(Patches(folder), ids)


@pytest.fixture(scope="module")
def model(train: PatchPart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    facts = fit(TINY, train, folder, lambda message: None)
    assert facts["n_fire_patches"] == 3
    assert np.isfinite(facts["loss_final"])
    return folder


def stream(train: PatchPart, physics: bool = False) -> CropStream:
    return CropStream(train, fit_scaling(train, 1), 16, 1, physics)


@settings(max_examples=60)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    share=st.sampled_from([0.002, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_windows_cover_an_edit_mask_exactly_once(height: int, width: int, share: float, seed: int) -> None:
    edit = np.random.default_rng(seed).random((height, width)) < share
    remaining, covered = edit.copy(), np.zeros((height, width), int)
    while remaining.any():
        rows, columns = next_window(remaining, 8)
        assert rows.start >= 0 and rows.stop <= height and rows.stop - rows.start == 8
        assert columns.start >= 0 and columns.stop <= width and columns.stop - columns.start == 8
        assert remaining[rows, columns].any()
        covered[rows, columns] += remaining[rows, columns]
        remaining[rows, columns] = False
    np.testing.assert_array_equal(covered, edit)


def test_a_region_that_fits_is_painted_in_one_window_with_context_on_all_sides() -> None:
    edit = np.zeros((100, 100), bool)
    edit[40:60, 50:72] = True
    edit[90, 90] = True
    rows, columns = next_window(edit, 32)
    assert (rows.start, rows.stop) == (34, 66)
    assert (columns.start, columns.stop) == (45, 77)


def test_scaling_is_measured_on_valid_pixels_and_turns_back(train: PatchPart) -> None:
    scaling = fit_scaling(train, 1)
    valid = np.concatenate([patch.bands[:, ~patch.ignore] for patch in map(train.read, train.ids)], axis=1)
    fires = np.concatenate(
        [patch.bands[:, patch.label & ~patch.ignore] for patch in map(train.read, train.ids)], axis=1
    )
    darkest, low, high, brightest = np.percentile(valid, (0.1, 25, 75, 99.9), axis=1, method="inverted_cdf")
    lowest, highest = np.minimum(darkest, fires.min(axis=1)), np.maximum(brightest, fires.max(axis=1))
    assert scaling == Scaling(tuple(darkest), tuple(high - low), tuple(lowest), tuple(highest), 65535)
    dn = np.clip(np.array([1, 5000, 9000, 30000, 65535])[:, None], lowest, highest)
    dn = dn.reshape(5, 3, 1, 1).astype(np.uint16)
    scaled = scaling.from_dn(dn)
    assert dn[3, 2] == 30000
    np.testing.assert_allclose(scaled[3, 2], np.arcsinh((30000 - darkest[2]) / (high - low)[2]) / 1.5, rtol=1e-5)
    np.testing.assert_allclose(scaling.to_dn(scaled), dn, rtol=1e-4, atol=0.1)
    # What is added in scaled units changes dark ground by less than bright ground: shade is a factor.
    dark, bright = (scaling.to_dn(scaling.from_dn(dn[at]) + 0.1) - dn[at] for at in (0, 2))
    assert (dark < 0.9 * bright).all()
    for far, limit in ((-100, lowest), (100, highest)):
        np.testing.assert_allclose(scaling.to_dn(np.full((3, 1, 1), far, np.float32))[:, 0, 0], limit, atol=0.01)


def test_crops_follow_from_seed_and_step_alone(train: PatchPart) -> None:
    earlier = stream(train)
    for step in range(3):
        earlier.batch(step, 4)
    for left, right in zip(earlier.batch(7, 4), stream(train).batch(7, 4), strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(stream(train).batch(8, 4).bands, stream(train).batch(7, 4).bands)


def test_crops_hold_fires_inside_edit_masks_and_plain_ground(train: PatchPart) -> None:
    crops = stream(train).batch(0, 200)
    assert crops.bands.shape == (200, 3, 16, 16)
    assert (crops.edit >= crops.label).all()
    assert (crops.bands[np.broadcast_to(crops.valid == 0, crops.bands.shape)] == 0).all()
    plain = ~crops.label.any(axis=(1, 2, 3))
    assert 0.15 < plain.mean() < 0.35
    # The fires of the store stand out in its last band.
    hot = crops.bands[:, 2:] > fit_scaling(train, 1).from_dn(np.full((3, 1, 1), 18000, np.uint16))[2]
    np.testing.assert_array_equal(hot & (crops.edit == 1), crops.label == 1)
    assert (hot & (crops.edit == 0)).any(axis=(1, 2, 3)).mean() > 0.05  # known fire, as in overlapping windows


def test_what_is_filled_in_knows_nothing_of_what_it_replaces(train: PatchPart) -> None:
    crops = stream(train).batch(0, 8)
    hidden = np.broadcast_to((crops.edit == 1) | (crops.valid == 0), crops.bands.shape)
    changed = crops._replace(bands=np.where(hidden, np.float32(9), crops.bands))
    filled = fill_in(crops)
    np.testing.assert_array_equal(fill_in(changed), filled)
    np.testing.assert_array_equal(filled[~hidden], crops.bands[~hidden])
    assert filled[hidden].std() < crops.bands[hidden].std()


def test_nothing_known_at_all_is_filled_in_with_the_median() -> None:
    ones = np.ones((1, 1, 16, 16), np.float32)
    assert not fill_in(Crops(np.full((1, 3, 16, 16), 7, np.float32), ones, ones, ones, ones)).any()


def whitened_pixels(crops: Crops, contrast: Contrast) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Whitened pixels (pixels, C) inside the edit masks, and which of them are label pixels."""
    inside = (crops.edit * crops.valid)[:, 0] == 1
    whitened = contrast.whiten(crops, fill_in(crops))
    return np.moveaxis(whitened, 1, -1)[inside], crops.label[:, 0][inside] == 1


def assert_turns_back(contrast: Contrast, crops: Crops) -> None:
    filled = fill_in(crops)
    restored = contrast.restore(contrast.whiten(crops, filled), crops, filled)
    np.testing.assert_allclose(restored, crops.bands, rtol=1e-4, atol=1e-4)


def test_contrast_gives_fire_and_ground_unit_variance_and_turns_back(train: PatchPart) -> None:
    crops = stream(train).batch(0, 100)
    contrast = fit_contrast([crops])
    assert_turns_back(contrast, crops)
    pixels, on_fire = whitened_pixels(crops, contrast)
    np.testing.assert_allclose(pixels[on_fire].mean(axis=0), 0, atol=0.05)
    assert (pixels[on_fire].std(axis=0) < 1.1).all()
    np.testing.assert_allclose(pixels[~on_fire].std(axis=0), 1, atol=0.4)


def crops_of(bands: npt.NDArray[np.float64]) -> Crops:
    """Crops with a label of 4 px by 4 px in an edit mask of 8 px by 8 px."""
    label, edit, valid = np.zeros((3, len(bands), 1, *bands.shape[2:]), np.float32)
    label[:, :, 6:10, 6:10] = edit[:, :, 4:12, 4:12] = valid[:] = 1
    return Crops(bands.astype(np.float32), label, edit, valid, 0 * label)


def first(crops: Crops) -> Crops:
    return Crops(*(array[:1] for array in crops))


@pytest.mark.parametrize("n_bands", [3, 10])
def test_contrast_turns_white_noise_into_fires_of_the_same_correlation(n_bands: int) -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(n_bands, n_bands)) + np.eye(n_bands)
    fires = np.einsum("ij,njhw->nihw", mixing, rng.normal(size=(200, n_bands, 16, 16)))
    crops = crops_of(rng.normal(0, 0.1, (200, n_bands, 16, 16)))
    crops = crops._replace(bands=np.where(crops.label == 1, fires, crops.bands).astype(np.float32))
    contrast = fit_contrast([crops])
    pixels, on_fire = whitened_pixels(crops, contrast)
    np.testing.assert_allclose(np.cov(pixels[on_fire].T), np.eye(n_bands), atol=0.25)
    noise = rng.normal(size=crops.bands.shape).astype(np.float32)
    painted = contrast.restore(noise, crops, np.zeros_like(noise))[:, :, 6:10, 6:10]
    wanted = mixing @ mixing.T / np.sqrt(np.outer((mixing**2).sum(axis=1), (mixing**2).sum(axis=1)))
    np.testing.assert_allclose(np.corrcoef(np.moveaxis(painted, 1, 0).reshape(n_bands, -1)), wanted, atol=0.1)


def test_contrast_knows_that_fires_differ_less_from_bright_ground() -> None:
    rng = np.random.default_rng(2)
    crops = crops_of(np.broadcast_to(rng.normal(0, 1, (300, 3, 1, 1)), (300, 3, 16, 16)).copy())
    crops = crops._replace(bands=np.where(crops.label == 1, np.float32(2), crops.bands))  # 2 on any ground
    contrast = fit_contrast([crops])
    dark, bright = (np.full((1, 3, 16, 16), level, np.float32) for level in (-1, 1))
    nothing = np.zeros_like(dark)
    for ground in (dark, bright):
        restored = contrast.restore(nothing, first(crops), ground)
        np.testing.assert_allclose(restored[:, :, 6:10, 6:10], 2, atol=0.15)


def test_contrast_knows_that_small_fires_differ_less() -> None:
    rng = np.random.default_rng(2)
    label = np.zeros((2, 16, 16), bool)
    label[0, 7, 7] = label[1, 4:12, 4:12] = True
    edit = dilated(label[1], 3)
    small, large = (crop_of(np.zeros((3, 16, 16), np.float32), one, edit, edit) for one in label)
    # 0.5 and 0.5 ln(pixels) above the ground: 0.5 of one pixel, 2.6 of 64.
    fires = []
    for number in range(300):
        one = (small, large)[number % 2]
        excess = one.label * np.float32(0.5 + 0.5 * np.log(one.label.sum()))
        fires.append(one._replace(bands=(excess + rng.normal(0, 0.1, (3, 16, 16))).astype(np.float32)))
    contrast = fit_contrast([stacked(fires)])
    nothing = np.zeros((2, 3, 16, 16), np.float32)
    burning = contrast.restore(nothing, stacked([small, large]), nothing)
    np.testing.assert_allclose(burning[0, :, 7, 7], 0.5, atol=0.35)
    np.testing.assert_allclose(burning[1, :, 4, 7], 2.6, atol=0.15)


def test_size_of_a_fire_stands_on_it_and_beside_it() -> None:
    label = np.zeros((16, 16), bool)
    label[2, 2] = label[8:12, 8:13] = True
    edit = label.copy()
    edit[8:12, 10:] = False  # a fire that is known in part has the size of all of it
    (size,) = crop_of(np.zeros((1, 16, 16), np.float32), label, edit, ~label).size
    assert size[8, 8] == size[7, 7] == size[12, 13] == np.float32(np.log(20))
    assert size[6, 6] == size[2, 2] == size[3, 3] == 0


def test_zones_of_a_fire_are_its_core_its_rim_and_the_glow_beside_it() -> None:
    label, edit = np.zeros((2, 1, 1, 16, 16), np.float32)
    label[..., 4:9, 4:12], edit[..., 2:11, 2:10] = 1, 1  # cut off on the right
    label *= edit
    core, rim, glow = (zone[0, 0] for zone in zones(Crops(label, label, edit, edit, label)))
    expected = np.zeros((16, 16), int)
    expected[3:10, 3:10] = 3
    expected[4:9, 4:10] = 2
    expected[5:8, 5:10] = 1
    np.testing.assert_array_equal(core + 2 * rim + 3 * glow, expected)
    assert not any(zone.any() for zone in zones(Crops(label, 0 * label, edit, edit, label)))


def test_a_mean_fire_is_as_dim_at_its_rim_as_those_it_was_measured_on() -> None:
    rng = np.random.default_rng(5)
    crops = crops_of(rng.normal(0, 0.1, (200, 3, 16, 16)))
    bands = crops.bands.copy()
    for zone, excess in zip(zones(crops), (3.0, 1.0, 0.2), strict=True):
        bands += zone * np.float32(excess)
    contrast = fit_contrast([crops._replace(bands=bands)])
    nothing = np.zeros((1, 3, 16, 16), np.float32)
    fire = contrast.restore(nothing, first(crops), nothing)[0]
    for place, excess in (((7, 7), 3), ((6, 7), 1), ((5, 7), 0.2), ((4, 4), 0)):
        np.testing.assert_allclose(fire[:, *place], excess, atol=0.1)


@pytest.mark.parametrize("n_bands", [3, 10])
@pytest.mark.parametrize("n_pixels", [1, 2, 16])
def test_contrast_of_few_fire_pixels_and_constant_bands_is_of_use(n_bands: int, n_pixels: int) -> None:
    crops = crops_of(np.random.default_rng(3).normal(0, 0.1, (1, n_bands, 16, 16)))
    crops.bands[:, 1] = 0.5
    label = np.zeros_like(crops.label)
    label[0, 0, 6:10, 6:10].flat[:n_pixels] = 1
    crops = crops._replace(label=label, bands=crops.bands + 2 * label * (np.arange(n_bands) != 1)[:, None, None])
    contrast = fit_contrast([crops])
    assert_turns_back(contrast, crops)
    assert np.abs(whitened_pixels(crops, contrast)[0]).max() < 50


def noise_of(mix: NoiseMix, n: int = 4000) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(4)
    return mix.draw(rng, (n, 3, 16, 16), rng.standard_normal((n, 3, 1, 1), np.float32))


def band_by_band(smooth: tuple[float, ...], even: tuple[float, ...]) -> NoiseMix:
    return NoiseMix(((1, 0, 0), (0, 1, 0), (0, 0, 1)), smooth, even)


def correlation(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> float:
    return float(np.corrcoef(left.ravel(), right.ravel())[0, 1])


# Two Gaussians of 1.5 px, 1 px apart, overlap by exp(-1 / (4 * 1.5^2)).
SMOOTH = np.exp(-1 / 9)
TURNED = NoiseMix(((0.6, 0.8, 0), (-0.8, 0.6, 0), (0, 0, 1)), (0.9, 0.2, 0.3), (0, 0, 0.5))
"""Two mixtures of two bands: each of these is as smooth as both together, and neighbours correlate across bands."""


def test_noise_has_unit_variance_and_is_correlated_over_space_alone() -> None:
    mix = band_by_band((0.5, 0.5, 0.2), (0, 0, 0.6))
    noise = noise_of(mix)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.08)
    for band, expected in ((0, SMOOTH / 2), (2, SMOOTH / 5 + 0.6)):
        assert correlation(noise[:, band, :, 1:], noise[:, band, :, :-1]) == pytest.approx(expected, abs=0.01)
        assert correlation(noise[:, band, 1:], noise[:, band, :-1]) == pytest.approx(expected, abs=0.01)
    assert correlation(noise[:, 2, 0], noise[:, 2, 8]) == pytest.approx(0.6, abs=0.02)
    assert correlation(noise[:, 0], noise[:, 1]) == pytest.approx(0, abs=0.01)
    assert correlation(noise[1:], noise[:-1]) == pytest.approx(0, abs=0.01)
    np.testing.assert_array_equal(noise, noise_of(mix))


def test_noise_of_mixtures_correlates_a_band_with_its_neighbours_in_another() -> None:
    noise = noise_of(TURNED)
    assert correlation(noise[:, 0], noise[:, 1]) == pytest.approx(0, abs=0.01)
    following = SMOOTH * (np.array([[0.6, 0.8], [-0.8, 0.6]]) * (0.9, 0.2) @ [[0.6, -0.8], [0.8, 0.6]])
    for one, other in ((0, 0), (0, 1), (1, 1)):
        measured = correlation(noise[:, one, :, 1:], noise[:, other, :, :-1])
        assert measured == pytest.approx(following[one, other], abs=0.01)


@pytest.mark.parametrize(
    "mix",
    [band_by_band((0.2, 0.7, 0.3), (0, 0, 0.5)), band_by_band((0, 0, 0), (0, 0.5, 0.9)), TURNED],
)
def test_noise_is_correlated_as_the_events_that_it_was_measured_on(mix: NoiseMix) -> None:
    crops = crops_of(0.01 * np.random.default_rng(3).standard_normal((3000, 3, 16, 16)))
    crops.label[..., 3:13, 3:13] = 1
    crops.edit[:] = 1
    events = crops._replace(bands=np.where(crops.label == 1, 2 + noise_of(mix, 3000), crops.bands).astype(np.float32))
    measured = fit_noise([events], fit_contrast([events]))
    for share in ("smooth", "even"):
        matrices = (np.array(one.mixtures) * getattr(one, share) @ np.array(one.mixtures).T for one in (measured, mix))
        np.testing.assert_allclose(*matrices, atol=0.08)


def test_noise_of_too_few_label_pixels_is_half_smooth() -> None:
    crops = crops_of(np.random.default_rng(3).normal(0, 0.1, (1, 2, 16, 16)))
    assert fit_noise([crops], fit_contrast([crops])) == NoiseMix(((1, 0), (0, 1)), (0.5, 0.5), (0.0, 0.0))


def test_calibration_gives_painted_fires_the_values_of_real_ones_in_core_and_rim() -> None:
    rng = np.random.default_rng(6)
    label = np.zeros((400, 1, 16, 16), np.float32)
    label[..., 4:10, 4:10] = 1
    crops = Crops(label, label, np.ones_like(label), np.ones_like(label), 0 * label)
    painted = rng.normal(1, 2, (400, 2, 16, 16)).astype(np.float32)
    levels = np.linspace(0, 1, 129)
    core, rim = (np.stack([np.quantile(rng.exponential(scale, 9999), levels)] * 2) for scale in (1.0, 0.2))
    source = np.stack([np.quantile(painted, levels, axis=(0, 2, 3)).T] * 2)
    mean = rng.normal(0, 9, painted.shape).astype(np.float32)
    corrected = Calibration(source, np.stack([core, rim])).corrected(painted + mean, mean, crops) - mean
    inside = np.zeros((16, 16), bool)
    inside[5:9, 5:9] = True
    border = (label[0, 0] == 1) & ~inside
    for pixels, scale in ((corrected[:, :, inside], 1.0), (corrected[:, :, border], 0.2)):
        assert pixels.mean() == pytest.approx(scale, rel=0.05)
        assert pixels.std() == pytest.approx(scale, rel=0.1)
    np.testing.assert_allclose(corrected[:, :, label[0, 0] == 0], painted[:, :, label[0, 0] == 0], atol=1e-5)
    order = np.argsort(painted[:, 0, 7, 7])
    assert (np.diff(corrected[order, 0, 7, 7]) > -1e-5).all()


@pytest.mark.parametrize("steps", [2, 5])
def test_painted_fires_have_the_values_of_real_ones_for_any_steps_of_sampling(
    model: Path, train: PatchPart, steps: int
) -> None:
    real = np.concatenate([patch.bands[2, patch.label] for patch in map(train.read, train.statistics.fire)])
    ground = np.random.default_rng(8).normal((9000, 12000, 8000), (500, 1000, 800), (60, SIZE, SIZE, 3))
    backgrounds = ground.transpose(0, 3, 1, 2).astype(np.uint16)
    label, edit = np.zeros((2, 60, SIZE, SIZE), bool)
    label[:, 8:12, 8:15] = True
    edit[:, 5:15, 5:18] = True
    painter = NativePainter(model, steps)

    def distance() -> float:
        painted = painter.paint(backgrounds, label, edit, np.arange(60))[:, 2][label]
        return float(ks_2samp(painted, real).statistic)

    calibrated = distance()
    painter._calibration = None
    assert calibrated < 0.08 < 0.15 < distance()


def test_a_crop_larger_than_the_patches_is_an_error(train: PatchPart, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"generator\.crop: 32 px, but patches have 24"):
        fit(TINY.model_copy(update={"crop": 32}), train, tmp_path, lambda message: None)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_pipeline_folder_loads_and_saves_the_same(model: Path, tmp_path: Path) -> None:
    assert sorted(files(model)) == [
        "calibration.safetensors",
        "history.csv",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ]
    pipeline = NativeInpaintPipeline.from_pretrained(model)
    assert pipeline.config.bands == list(BANDS)
    assert pipeline.crop == 16
    assert len(pipeline.contrast.factors[0]) == len(pipeline.contrast.ground_factor[0]) == len(BANDS)
    pipeline.save_pretrained(tmp_path)
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert files(tmp_path)[weights] == files(model)[weights]
    saved, loaded = (json.loads((folder / "model_index.json").read_text()) for folder in (model, tmp_path))
    assert {key: loaded[key] for key in saved} == saved
    shutil.copy(model / "calibration.safetensors", tmp_path)
    np.testing.assert_array_equal(paint(tmp_path), paint(model))


def paint(folder: Path, seed: int = 0, under: int | None = None) -> npt.NDArray[np.uint16]:
    """Paint one fire that needs several windows into a plain patch; `under` replaces the ground below it."""
    background = np.random.default_rng(5).integers(7000, 12000, (1, 3, SIZE, SIZE), np.uint16)
    edit = np.zeros((1, SIZE, SIZE), bool)
    edit[0, 4:8, 1:23] = True
    if under is not None:
        background[:, :, edit[0]] = under
    label = edit.copy()
    label[0, 4] = label[0, 7] = False
    return NativePainter(folder, 3).paint(background, label, edit, np.array([seed]))


def test_seeds_decide_and_the_ground_below_a_fire_does_not(model: Path) -> None:
    painted = paint(model)
    assert (paint(model, seed=1) != painted)[:, :, 4:8, 1:23].mean() > 0.9
    np.testing.assert_array_equal(paint(model, under=20000)[:, :, 5:7, 1:23], painted[:, :, 5:7, 1:23])


def test_below_a_strength_of_1_paint_has_the_relief_of_the_ground(model: Path) -> None:
    background = np.random.default_rng(5).integers(7000, 12000, (1, 3, SIZE, SIZE), np.uint16)
    label = np.zeros((1, SIZE, SIZE), bool)
    label[0, 6:18, 6:18] = True
    relief = []
    for strength in (1.0, 0.9, 0.3):
        painted = NativePainter(model, 3, strength).paint(background, label, label, np.array([0]))
        bands = zip(painted[0][:, label[0]], background[0][:, label[0]], strict=True)
        relief.append(np.mean([np.corrcoef(*pair)[0, 1] for pair in bands]))
    assert abs(relief[0]) < 0.15 < 0.25 < relief[1] < relief[2] and relief[2] > 0.5


def test_relief_is_noise_of_its_own(train: PatchPart) -> None:
    crops = stream(train).batch(3, 40)
    relief = fit_contrast([crops]).relief(crops)
    known = np.broadcast_to(crops.valid == 1, relief.shape)
    assert not relief[~known].any() and np.abs(relief).max() <= 3
    np.testing.assert_allclose([relief[known].mean(), relief[known].std()], [0, 1], atol=0.1)


@pytest.mark.slow
def test_training_learns_that_labels_are_hot(train: PatchPart, tmp_path: Path) -> None:
    fit(TINY.model_copy(update={"steps": 60, "batch_size": 4}), train, tmp_path, lambda message: None)
    painted = paint(tmp_path)[0, 2].astype(int)
    assert np.median(painted[5:7, 1:23]) > np.median(painted[[4, 7], 1:23]) + 15000


_TRAIN_UNTIL_KILLED = """
import sys, time
from pathlib import Path
import torch
from firefusion_assets.engines.native.fitting import fit
from firefusion_assets.patchstore import Patches, PatchPart
from firefusion_assets.engines.native.settings import NativeGenerator

def progress(message):
    print(message, flush=True)
    if message.startswith("step 4"):
        time.sleep(600)

torch.set_num_threads(1)
store, work, generator, *ids = sys.argv[1:]
train = PatchPart(Patches(Path(store)), ids)
fit(NativeGenerator.model_validate_json(generator), train, Path(work), progress)
"""


def test_crops_of_physics_burn_where_their_labels_say_and_hold_no_real_fire(train: PatchPart) -> None:
    painted, again = (stream(train, physics=True).batch(1, 64) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(painted, again, strict=True))
    scaling = fit_scaling(train, 1)
    burning = (painted.label * painted.valid)[:, 0] == 1
    b7 = scaling.to_dn(painted.bands)[:, BANDS.index("B7")]
    assert burning.any(axis=(1, 2)).mean() > 0.6
    # Real fires gain 30,000 DN in B7 alone, all alike; painted ones shine in B6 too, each at a heat of its own.
    number = BANDS.index("B6")
    b6, brighter = painted.bands[:, number], scaling.from_dn(np.full((3, 1, 1), 15000, np.uint16))[number, 0, 0]
    assert b6[burning].mean() > brighter > b6[~burning & (painted.valid[:, 0] == 1)].mean()
    means = [crop[where].mean() for crop, where in zip(b7, burning, strict=True) if where.any()]
    assert np.std(means) > 3000 and np.mean(means) > 15000


def test_training_on_physics_first_is_more_of_the_same_loop(train: PatchPart, model: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    facts = fit(TINY.model_copy(update={"pretrain": "physics"}), train, tmp_path, messages.append)
    assert messages[-1].startswith("step 12 of 12") and facts["n_fire_patches"] == 3
    assert (tmp_path / "history.csv").read_text().count("\n") == 13
    assert not np.array_equal(paint(tmp_path), paint(model))


def test_a_device_that_holds_less_than_a_batch_learns_the_same_and_says_so(
    train: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, told = TINY.model_copy(update={"batch_size": 5}), list[str]()
    weights, facts = {}, {}
    for place, limit in (("whole", 5), ("parts", 2)):
        (tmp_path / place).mkdir()
        sizes = hold_at_most(limit, UNet2DModel, monkeypatch)
        facts[place] = fit(generator, train, tmp_path / place, told.append)
        weights[place] = load_file(tmp_path / place / "unet" / "diffusion_pytorch_model.safetensors")
    assert sizes[:3] == [5, 3, 2] and sizes.count(5) == 1, "it is tried once"
    assert facts["parts"]["examples_at_once"] == 2 and "examples_at_once" not in facts["whole"]
    assert any("going on with 2 at a time" in line for line in told)
    whole, parts = (np.loadtxt(tmp_path / place / "history.csv", skiprows=1, delimiter=",") for place in weights)
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    whole, parts = (np.concatenate([value.ravel() for value in found.values()]) for found in weights.values())
    # Adam steps as far where a gradient is nothing but rounding, as of biases before a normalisation.
    assert np.linalg.norm(parts - whole) < 1e-4 * np.linalg.norm(whole)


def test_parts_of_a_batch_add_up_to_its_gradient(
    train: PatchPart, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, whose rounding hides no wrong share."""
    pipeline = NativeInpaintPipeline.from_pretrained(model)
    pipeline.unet.double()
    *arrays, timesteps = noisy_example(pipeline, stream(train).batch(0, 5), np.random.default_rng(1))
    example = Example(*(array.astype(np.float64) for array in arrays), timesteps)
    gradients = []
    for limit in (5, 2, 1):
        hold_at_most(limit, UNet2DModel, monkeypatch)
        weights = [*pipeline.unet.parameters()]
        parts, loss_of = Parts("", print), partial(training_loss, pipeline, example)
        loss = parts.backward(torch.optim.SGD(weights), 5, loss_of)
        assert parts.facts == ({} if limit == 5 else {"examples_at_once": limit})
        gradients.append(torch.cat([loss[None], *(weight.grad.flatten() for weight in weights)]))  # type: ignore[union-attr]
    whole = gradients[0]
    for of_parts in gradients[1:]:
        assert (of_parts - whole).norm() < 1e-12 * whole.norm()


@pytest.mark.parametrize(
    ("dataset", "problem"),
    [
        ("{source: folder, images: i, masks: m, patch_size: 32, bands: [a, b]}", "knows the DN of Landsat-8 only"),
        ("{bands: [B2, B6]}", "needs B7"),
        ("{bands: [B2, B6, B7]}", None),
    ],
)
def test_physics_is_learned_from_on_landsat_alone(dataset: str, problem: str | None) -> None:
    settings = yaml.safe_load(f"dataset: {dataset}")["dataset"]
    if settings.get("source") == "folder":
        settings |= {"pairs": {"image": "(?P<id>.*)", "mask": "(?P<id>.*)"}, "groups": {"pattern": "(?P<group>.*)"}}
    else:
        settings |= {"source": "activefire", "images": "i", "masks": "m"}
    study = Study.model_validate({"name": "s", "dataset": settings, "training": {"bands": settings["bands"][:1]}})
    generator = {"engine": "native", "pretrain": "physics", "crop": 32}
    config = Augmentation.model_validate({"generator": generator, "sampling": {"images": 1}})
    told = list(config.generator.misfits(study, config))
    assert told == [] if problem is None else problem in told[0] and told[0].startswith("generator.pretrain: physics")


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bytes(train: PatchPart, tmp_path: Path) -> None:
    work, undisturbed = tmp_path / "work", tmp_path / "undisturbed"
    work.mkdir()
    undisturbed.mkdir()
    ids = write_store(tmp_path / "store")
    pretrained = TINY.model_copy(update={"pretrain": "physics"})
    arguments = [str(tmp_path / "store"), str(work), pretrained.model_dump_json(), *ids]
    with subprocess.Popen(
        [sys.executable, "-c", _TRAIN_UNTIL_KILLED, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("step 4") for line in process.stdout)
        os.kill(process.pid, signal.SIGKILL)
    assert list(files(work)) == ["checkpoint-0000004.pt"]
    (work / "checkpoint-0000004.pt.1.partial").write_bytes(b"a write that the kill cut short")
    messages: list[str] = []
    fit(pretrained, train, work, messages.append)
    assert messages[0] == "resumed at step 4 of 12"
    fit(pretrained, train, undisturbed, messages.append)
    assert files(work) == files(undisturbed)
