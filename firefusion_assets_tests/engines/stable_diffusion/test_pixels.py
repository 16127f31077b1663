"""Pixels into Stable Diffusion and out of it: stretches, enlarging, latent masks and the bands it does not paint."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from firefusion_assets.engines.companions import Companions, fit_companions
from firefusion_assets.engines.contract import NoFireError
from firefusion_assets.engines.stable_diffusion.enlarging import area_mean, enlarge, latent_mask
from firefusion_assets.engines.stable_diffusion.stretch import Kind, Stretch, fit_stretch
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, needs_patches

DN_MAX = 65535
EVERY_DN = np.arange(DN_MAX + 1, dtype=np.uint16).reshape(1, 256, 256)
BANDS = ("B2", "B5", "B6", "B7", "B10")
COMPOSITE = ("B7", "B6", "B2")
KINDS: tuple[Kind, ...] = ("linear", "percentile", "asinh")


@st.composite
def stretches(draw: st.DrawFn) -> Stretch:
    """Stretches of one band, with constants as far apart or as close as they can be."""
    kind = draw(st.sampled_from(KINDS))
    if kind == "linear":
        return Stretch(kind=kind, low=(0,), high=(DN_MAX,), dn_max=DN_MAX)
    least, most = (1, DN_MAX - 2) if kind == "percentile" else (0, DN_MAX)
    low = draw(st.integers(least, most))
    high = draw(st.integers(low + 1, DN_MAX - 1 if kind == "percentile" else low + DN_MAX))
    return Stretch(kind=kind, low=(low,), high=(high,), dn_max=DN_MAX)


@settings(max_examples=100)
@given(stretch=stretches())
def test_every_dn_turns_back_and_rises_from_minus_one_to_one(stretch: Stretch) -> None:
    values = stretch.to_model(EVERY_DN)
    assert values.dtype == np.float32
    assert (values.flat[0], values.flat[-1]) == (-1, 1)
    assert (np.diff(values.ravel()) > 0).all()
    dn = stretch.to_dn(values)
    assert dn.dtype == np.float32
    np.testing.assert_array_equal(np.rint(dn), EVERY_DN)
    np.testing.assert_array_equal(stretch.to_model(EVERY_DN.astype(np.float32)), values)
    outside = np.array([-9, -1.001, 1.001, 9], np.float32).reshape(1, 2, 2)
    np.testing.assert_allclose(stretch.to_dn(outside).ravel(), [0, 0, DN_MAX, DN_MAX], atol=1e-6)
    np.testing.assert_array_equal(stretch.to_model(np.array([[[-5, 70000]]], np.float32)), [[[-1, 1]]])


@pytest.mark.parametrize("kind", ["percentile", "asinh"])
@pytest.mark.parametrize(("low", "high"), [(1, 2), (DN_MAX - 2, DN_MAX - 1), (1, DN_MAX - 1), (DN_MAX // 2, 32768)])
def test_the_most_extreme_constants_turn_back(kind: Kind, low: int, high: int) -> None:
    stretch = Stretch(kind=kind, low=(low,), high=(high,), dn_max=DN_MAX)
    np.testing.assert_array_equal(np.rint(stretch.to_dn(stretch.to_model(EVERY_DN))), EVERY_DN)


def test_each_band_has_its_own_equation_and_leading_axes_do_not_matter() -> None:
    dn = np.array([0, 4000, 9000, 30000, DN_MAX], np.uint16)
    batch = np.tile(dn, (2, 3, 2, 1, 1))  # (2, 3, C, 1, W)
    asinh = Stretch(kind="asinh", low=(9000, 4000), high=(10000, 9000), dn_max=DN_MAX)
    for band, (median, iqr) in enumerate([(9000, 1000), (4000, 5000)]):
        bent = np.arcsinh((dn.astype(float) - median) / iqr)
        expected = 2 * (bent - bent[0]) / (bent[-1] - bent[0]) - 1
        np.testing.assert_allclose(asinh.to_model(batch)[1, 2, band, 0], expected, atol=1e-6)
    percentile = Stretch(kind="percentile", low=(4000, 9000), high=(9000, 30000), dn_max=DN_MAX)
    values = percentile.to_model(batch)
    np.testing.assert_allclose(values[0, 0, 0, 0], [-1, -0.9, 0.5, 0.5 + 0.5 * 21000 / 56535, 1], atol=1e-6)
    np.testing.assert_allclose(values[0, 0, 1, 0], [-1, -1 + 0.1 * 4 / 9, -0.9, 0.5, 1], atol=1e-6)
    linear = Stretch(kind="linear", low=(0, 0), high=(DN_MAX, DN_MAX), dn_max=DN_MAX)
    np.testing.assert_allclose(linear.to_model(batch)[1, 0, 1, 0], dn / 32767.5 - 1, atol=1e-6)


@pytest.mark.parametrize(
    "constants",
    [
        {"kind": "percentile", "low": (0,), "high": (9,)},
        {"kind": "percentile", "low": (9,), "high": (9,)},
        {"kind": "percentile", "low": (9,), "high": (DN_MAX,)},
        {"kind": "asinh", "low": (9,), "high": (8,)},
        {"kind": "linear", "low": (1,), "high": (DN_MAX,)},
        {"kind": "asinh", "low": (1, 2), "high": (3,)},
    ],
)
def test_constants_that_would_not_turn_back_are_refused(constants: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="low"):
        Stretch.model_validate(constants | {"dn_max": DN_MAX})


def write_part(folder: Path, patches: list[Patch], train: list[int]) -> PatchPart:
    size = patches[0].label.shape[0]
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=size)) as writer:
        for number, patch in enumerate(patches):
            writer.add_patch(f"p{number}", patch)
    return PatchPart(Patches(folder), [f"p{number}" for number in train])


@pytest.fixture(scope="module")
def ground() -> list[Patch]:
    """Four patches of different levels with fill, and a fifth that is far brighter."""
    patches = []
    for number, level in enumerate((7000, 9000, 8000, 12000, 50000)):
        rng = np.random.default_rng(number)
        bands = rng.normal(level, 1500, (len(BANDS), 24, 24)).astype(np.uint16)
        bands[3] //= 2
        ignore = np.zeros((24, 24), bool)
        ignore[:, :number] = True
        bands[:, ignore] = 0
        patches.append(Patch(bands, np.zeros_like(ignore), ignore))
    return patches


def test_constants_are_those_of_the_valid_train_pixels(ground: list[Patch], tmp_path: Path) -> None:
    train = write_part(tmp_path / "store", ground, [0, 1, 2, 3])
    valid = np.concatenate([patch.bands[:, ~patch.ignore] for patch in ground[:4]], axis=1)[[3, 2, 0]]
    first, quarter, median, three_quarters, last = np.percentile(
        valid, (1, 25, 50, 75, 99), axis=1, method="inverted_cdf"
    )
    percentile, asinh, linear = (fit_stretch(kind, train, COMPOSITE, 1) for kind in ("percentile", "asinh", "linear"))
    assert (percentile.low, percentile.high) == (tuple(first), tuple(last))
    assert (asinh.low, asinh.high) == (tuple(median), tuple(median + three_quarters - quarter))
    assert (linear.low, linear.high) == ((0, 0, 0), (DN_MAX, DN_MAX, DN_MAX))
    for stretch in (percentile, asinh, linear):
        assert Stretch.model_validate_json(stretch.model_dump_json()) == stretch
    whole = write_part(tmp_path / "whole", ground, [0, 1, 2, 3, 4])
    assert fit_stretch("percentile", whole, COMPOSITE, 1) != percentile


@pytest.mark.parametrize("dn", [0, 5000, DN_MAX])
@pytest.mark.parametrize("kind", KINDS)
def test_constant_bands_still_turn_back(dn: int, kind: Kind, tmp_path: Path) -> None:
    plain = np.zeros((24, 24), bool)
    train = write_part(tmp_path / "store", [Patch(np.full((len(BANDS), 24, 24), dn, np.uint16), plain, plain)], [0])
    stretch = fit_stretch(kind, train, ("B7",), 1)
    np.testing.assert_array_equal(np.rint(stretch.to_dn(stretch.to_model(EVERY_DN))), EVERY_DN)


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_enlarged_blocks_keep_their_means(factor: int) -> None:
    values = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, size=(2, 3, 5, 7)))
    values[0, 0, 2, 3], values[1, 1, 0] = 1, -1
    enlarged = enlarge(values, factor)
    assert enlarged.shape == (2, 3, 5 * factor, 7 * factor)
    means = area_mean(enlarged, factor)
    torch.testing.assert_close(means, values)
    torch.testing.assert_close(area_mean(enlarge(values.float(), factor), factor), values.float())
    looped = np.array(
        [
            [
                [[float(enlarged[n, c, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor].mean())
                  for x in range(7)] for y in range(5)]
                for c in range(3)
            ]
            for n in range(2)
        ]
    )  # fmt: skip
    np.testing.assert_allclose(means, looped, rtol=1e-9, atol=1e-12)


def bilinear(row: npt.NDArray[np.float64], factor: int) -> npt.NDArray[np.float64]:
    """Interpolate between pixel centres; beyond the outermost centres the edge goes on."""
    centres = (np.arange(len(row) * factor) + 0.5) / factor - 0.5
    return np.interp(centres, np.arange(len(row)), row)


def test_enlarging_is_bilinear_with_the_blocks_lifted() -> None:
    values = np.random.default_rng(2).uniform(-0.4, 0.4, size=(6, 4))
    smooth = np.apply_along_axis(bilinear, 0, np.apply_along_axis(bilinear, 1, values, 4), 4)
    expected = smooth.copy()
    for y, x in np.ndindex(6, 4):
        block = (slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4))
        expected[block] += values[y, x] - smooth[block].mean()
    np.testing.assert_allclose(enlarge(torch.from_numpy(values)[None, None], 4)[0, 0], expected, atol=1e-12)


@settings(max_examples=200)
@given(
    values=arrays(np.float32, (1, 2, 4, 5), elements=st.sampled_from([-1, -0.999, -0.3, 0, 0.9, 0.99, 1])),
    factor=st.integers(2, 8),
)
def test_nothing_is_cut_off_at_the_ends_of_the_range(values: npt.NDArray[np.float32], factor: int) -> None:
    """Saturated fire beside dark ground: its block would leave the range, and a cut would darken its mean."""
    enlarged = enlarge(torch.from_numpy(values), factor)
    assert enlarged.min() >= -1 and enlarged.max() <= 1
    np.testing.assert_allclose(area_mean(enlarged, factor).numpy(), values, atol=1e-6)
    blocks = enlarged.unflatten(3, (-1, factor)).unflatten(2, (-1, factor)).numpy()
    for n, c, y, x in zip(*np.nonzero(np.abs(values) == 1), strict=True):
        np.testing.assert_allclose(blocks[n, c, y, :, x], values[n, c, y, x], atol=1e-6)


@needs_patches
def test_saturated_pixels_of_a_real_fire_come_back_saturated() -> None:
    """Patch 00819 of scene 099069; with a cut none of its saturated pixels came back, the median was 62158."""
    with rasterio.open(next((REAL_PATCHES / "landsat_patches").glob("*099069*p00819.tif"))) as file:
        dn = file.read()[[6, 5, 1]]
    stretch = Stretch(kind="asinh", low=(9000, 10000, 9000), high=(10500, 12000, 9800), dn_max=DN_MAX)
    values = torch.from_numpy(stretch.to_model(dn))[None]
    back = np.rint(stretch.to_dn(area_mean(enlarge(values, 8), 8)[0].numpy())).astype(np.uint16)
    saturated = dn[0] == DN_MAX
    assert saturated.sum() == 92
    assert (back[0][saturated] == DN_MAX).all()
    np.testing.assert_allclose(back.astype(int), dn, atol=1)


def test_sizes_that_are_no_multiple_of_the_factor_are_an_error() -> None:
    with pytest.raises(RuntimeError):
        area_mean(torch.zeros(1, 1, 8, 9), 4)


def test_a_fire_of_one_pixel_survives_in_the_latent_mask() -> None:
    edits = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    edits[0, 0, 21:25, 37:41] = True  # one 30 m pixel, enlarged by 4, over four latent cells
    edits[1, 0, 1, 1] = True
    assert not torch.nn.functional.interpolate(edits[1:].float(), scale_factor=1 / 8).any()
    shares = latent_mask(edits)
    assert shares.dtype == torch.float32
    expected = torch.zeros(2, 1, 8, 8)
    expected[0, 0, 2, 4:6] = torch.tensor([9, 3]) / 64
    expected[0, 0, 3, 4:6] = torch.tensor([3, 1]) / 64
    expected[1, 0, 0, 0] = 1 / 64
    torch.testing.assert_close(shares, expected)
    torch.testing.assert_close(latent_mask(edits.float()), shares)
    assert latent_mask(torch.ones(1, 1, 8, 8)).item() == 1


def law(composite: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """B5 and B10 (2, n), as quadratic functions of the logarithms of B7, B6 and B2 (3, n)."""
    b7, b6, b2 = np.log(composite / 10000)
    return 10000 * np.exp(np.stack([0.3 * b7 + 0.5 * b6 - 0.2 * b6 * b2 + 0.1, 0.1 * b7**2 - 0.3 * b2 + 0.5]))


def lawful_patch(seed: int, n_fire: int, hottest: float = 1.5) -> Patch:
    """A patch whose first fire pixels obey the law, and whose ground and ignored fire do not."""
    rng = np.random.default_rng(seed)
    bands = rng.integers(1, DN_MAX, (len(BANDS), 24, 24)).astype(np.uint16)
    label, ignore = np.zeros((2, 24, 24), bool)
    label.flat[: n_fire + 30] = True
    ignore.flat[n_fire : n_fire + 30] = True
    fire = label & ~ignore
    composite = np.rint(10000 * np.exp(rng.uniform(-0.5, hottest, (3, n_fire))))
    for band, dn in zip(("B7", "B6", "B2", "B5", "B10"), [*composite, *np.rint(law(composite))], strict=True):
        bands[BANDS.index(band), fire] = dn
    return Patch(bands, label, ignore)


def test_companions_find_a_quadratic_law_again(tmp_path: Path) -> None:
    patches = [lawful_patch(seed, 150, hottest) for seed, hottest in enumerate((1.5, 1.5, 1.5, 1.5, 1))]
    train = write_part(tmp_path / "store", patches, [0, 1, 2, 3])
    fitted = fit_companions(train, COMPOSITE)
    companions = Companions.model_validate_json(fitted.model_dump_json())
    assert companions == fitted
    unseen = patches[4]
    labels = (unseen.label & ~unseen.ignore)[None]
    erased = unseen.bands[None].copy()
    for band in ("B5", "B10"):
        erased[:, BANDS.index(band)] = 7
    filled = companions.fill(erased, labels)
    np.testing.assert_allclose(filled[0, :, labels[0]], unseen.bands[:, labels[0]].T, rtol=0.03)
    np.testing.assert_array_equal(filled[0, :, ~labels[0]], erased[0, :, ~labels[0]])
    painted = [BANDS.index(band) for band in COMPOSITE]
    np.testing.assert_array_equal(filled[:, painted], erased[:, painted])
    assert (erased[:, BANDS.index("B5")] == 7).all()


def test_a_band_that_does_not_see_the_fire_keeps_its_ground(tmp_path: Path) -> None:
    patches = [lawful_patch(seed, 100) for seed in range(6)]
    blind = BANDS.index("B5")
    for patch, ground in zip(patches, (5000, 7000, 9000, 11000, 13000, 8000), strict=True):
        patch.bands[blind] = ground
    companions = fit_companions(write_part(tmp_path / "store", patches, [0, 1, 2, 3, 4]), COMPOSITE)
    filled = companions.fill(patches[5].bands[None], patches[5].label[None])
    np.testing.assert_allclose(filled[0, blind], 8000, rtol=0.05)


@pytest.mark.parametrize("n_fire", [1, 2, 5])
def test_companions_of_few_pixels_stay_within_what_was_seen(n_fire: int, tmp_path: Path) -> None:
    patch = lawful_patch(1, n_fire)
    companions = fit_companions(write_part(tmp_path / "store", [patch], [0]), COMPOSITE)
    wild = np.random.default_rng(3).choice(np.array([0, 1, 9000, DN_MAX], np.uint16), (3, len(BANDS), 24, 24))
    labels = np.ones((3, 24, 24), bool)
    filled = companions.fill(wild, labels)
    seen = patch.bands[:, patch.label & ~patch.ignore]
    for band in ("B5", "B10"):
        channel = BANDS.index(band)
        assert filled[:, channel].min() >= seen[channel].min()
        assert filled[:, channel].max() <= seen[channel].max()


def test_painted_values_beyond_the_train_fires_are_taken_for_the_nearest_seen(tmp_path: Path) -> None:
    train = write_part(tmp_path / "store", [lawful_patch(1, 200)], [0])
    companions = fit_companions(train, COMPOSITE)
    bands = np.full((1, len(BANDS), 24, 24), DN_MAX, np.uint16)
    at_the_limit = np.broadcast_to(np.array(companions.high, np.uint16)[:, None, None], bands.shape)
    labels = np.ones((1, 24, 24), bool)
    others = [BANDS.index("B5"), BANDS.index("B10")]
    np.testing.assert_array_equal(
        companions.fill(bands, labels)[:, others], companions.fill(at_the_limit, labels)[:, others]
    )


def test_companions_of_a_store_without_other_bands_change_nothing(tmp_path: Path) -> None:
    patch = lawful_patch(1, 20)
    companions = fit_companions(write_part(tmp_path / "store", [patch], [0]), BANDS)
    assert companions.coefficients == ()
    np.testing.assert_array_equal(companions.fill(patch.bands[None], patch.label[None])[0], patch.bands)


def test_companions_need_a_fire_that_is_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(NoFireError, match="none of the 1 patches"):
        fit_companions(write_part(tmp_path / "store", [lawful_patch(1, 0)], [0]), COMPOSITE)
