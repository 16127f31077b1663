"""The fire detectors: against slow plain rules, on a real fire, and what must hold on any scene."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firefusion_assets.landsat import detectors
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.detectors import (
    DETECTOR_BANDS,
    SINGLE_DETECTORS,
    detect,
    intersection,
    voting,
)
from firefusion_assets.landsat.fire_rules import REACH
from firefusion_assets_tests.builders import plain_detectors as plain
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, needs_patches

Mask = npt.NDArray[np.bool_]
Bands = dict[str, npt.NDArray[np.uint16]]

SEEDS = st.integers(0, 2**32 - 1)
SUNS = st.floats(5, 90)


def burning_ground(seed: int, shape: tuple[int, int] = (40, 50)) -> Bands:
    """Noisy ground with water, fires of all strengths, clipped and folded pixels, and fill at two sides."""
    rng = np.random.default_rng(seed)
    means = {"B1": 0.13, "B2": 0.11, "B3": 0.10, "B4": 0.11, "B5": 0.20, "B6": 0.20, "B7": 0.14}
    ground = rng.normal(1, 0.15, shape)
    fire = rng.exponential(0.4, shape) * (rng.random(shape) < rng.choice([0.01, 0.1, 0.3]))
    cool = rng.uniform(0, 1, shape)
    water = rng.random(shape) < rng.choice([0, 0.2])
    share_odd = rng.choice([0, 0.003])
    bands = {}
    for number, (band, mean) in enumerate(means.items(), 1):
        reflectance = np.where(water, 0.14 - 0.018 * number, mean * ground) + rng.normal(0, 0.004, shape)
        reflectance += fire * {"B5": 0.05, "B6": cool, "B7": 1.0}.get(band, 0.0)
        bands[band] = np.clip((reflectance + 0.1) / 2e-5, 1, 65535).astype(np.uint16)
    for band in ("B5", "B6", "B7"):
        odd = rng.random(shape) < share_odd
        bands[band][odd] = rng.choice([1, 4999, 5000, 5001, 5100, 65535], odd.sum())
    for image in bands.values():
        image[: rng.integers(0, 6)] = 0
        image[:, image.shape[1] - rng.integers(0, 6) :] = 0
    return bands


def schroeder(bands: Bands) -> Mask:
    return detect(["schroeder"], bands)["schroeder"]


def murphy(bands: Bands, sun: float, **options: Any) -> Mask:
    return detect(["murphy"], bands, sun, **options)["murphy"]


def kumar_roy(bands: Bands, sun: float) -> Mask:
    return detect(["kumar-roy"], bands, sun)["kumar-roy"]


def unlike(found: Mask, context: plain.Context) -> list[tuple[int, int, float]]:
    """Pixels that differ from the plain rules, without those whose margin is below 1e-6."""
    differing = zip(*np.nonzero(found != context.detected()), strict=True)
    margins = [(int(y), int(x), context.margin(int(y), int(x))) for y, x in differing]
    return [one for one in margins if not abs(one[2]) < 1e-6 or not context.candidate[one[:2]]]


@pytest.mark.slow
@settings(max_examples=40)
@given(SEEDS, SUNS)
def test_on_burning_ground_they_follow_the_plain_rules(seed: int, sun: float) -> None:
    bands = burning_ground(seed)
    assert not unlike(schroeder(bands), plain.schroeder_context(bands))
    assert not unlike(kumar_roy(bands, sun), plain.kumar_roy_context(bands, sun))
    for mode in ("paper", "published"):
        assert (murphy(bands, sun, mode=mode) == plain.murphy(bands, sun, published=mode == "published")).all()


@pytest.mark.slow
@settings(max_examples=15)
@given(SEEDS, SUNS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_on_arbitrary_numbers_they_follow_the_plain_rules(seed: int, sun: float) -> None:
    rng = np.random.default_rng(seed)
    bands = {f"B{n}": rng.integers(0, 65536, (24, 70), np.uint16) for n in range(1, 8)}
    bands["B5"][rng.random((24, 70)) < 0.001] = 5000  # r5 = 0
    assert not unlike(schroeder(bands), plain.schroeder_context(bands))
    assert not unlike(kumar_roy(bands, sun), plain.kumar_roy_context(bands, sun))
    assert (murphy(bands, sun) == plain.murphy(bands, sun)).all()


def test_the_grounds_of_these_tests_hold_every_kind_of_pixel() -> None:
    """The comparisons above mean nothing on ground where no rule fires."""
    scenes = [burning_ground(seed) for seed in range(12)]
    for contexts in ([plain.schroeder_context(b) for b in scenes], [plain.kumar_roy_context(b, 50) for b in scenes]):
        accepted = [context.detected() & ~context.fire for context in contexts]
        assert sum(int(found.sum()) for found in accepted) > 15
        assert (
            sum(int((context.candidate & ~found).sum()) for context, found in zip(contexts, accepted, strict=True)) > 50
        )
        assert all(sum(int(getattr(context, kind).sum()) for context in contexts) > 50 for kind in ("fire", "water"))
    published = [murphy(b, 50, mode="published") & ~murphy(b, 50) for b in scenes]
    assert sum(int(found.sum()) for found in published) > 5


@settings(max_examples=30)
@given(SEEDS, SUNS, st.integers(1, 40000))
def test_more_energy_in_swir2_never_undetects_a_certain_fire(seed: int, sun: float, energy: int) -> None:
    bands = burning_ground(seed)
    r, c = plain.reflectances(bands), plain.reflectances(bands, sun)
    with np.errstate(divide="ignore", invalid="ignore"):
        certain = {
            "schroeder": (r[7] / r[5] > 2.5) & (r[7] - r[5] > 0.3) & (r[7] > 0.5),
            "murphy": (c[7] >= 0.15) & (c[7] / c[6] >= 1.4) & (c[7] / c[5] >= 1.4),
            "kumar-roy": plain.kumar_roy_context(bands, sun).fire & ~plain.kumar_roy_context(bands, sun).water,
        }
    where = np.random.default_rng(seed).random(r[7].shape) < 0.5
    brighter = bands | {"B7": np.minimum(bands["B7"] + where * np.uint32(energy), 65535).astype(np.uint16)}
    before, after = (detect(SINGLE_DETECTORS, scene, sun) for scene in (bands, brighter))
    for name, fire in certain.items():
        assert before[name][fire].all()
        assert after[name][fire].all(), name


@settings(max_examples=10)
@given(SEEDS, st.integers(20, 90), st.integers(0, 40))
def test_results_dont_depend_on_tiling(seed: int, cut: int, tile: int) -> None:
    bands = burning_ground(seed, (110, 100))
    whole = detect(DETECTOR_BANDS, bands, 40.0)
    assert whole["voting"].any()
    for stop, start, keep in ((cut + REACH, 0, np.s_[:cut]), (110, max(cut - REACH, 0), np.s_[cut:])):
        piece = detect(DETECTOR_BANDS, {band: image[start:stop] for band, image in bands.items()}, 40.0)
        for name, mask in piece.items():
            assert (mask[keep.start and min(cut, REACH) : keep.stop] == whole[name][keep]).all(), name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "_TILE", 15 + tile)
        for name, mask in detect(DETECTOR_BANDS, bands, 40.0).items():
            assert (mask == whole[name]).all(), name


@pytest.mark.parametrize("mode", ["paper", "published"])
@pytest.mark.parametrize(("sun", "kumar_roy_pixels", "murphy_pixels"), [(50, 759, 756), (90, 750, 751)])
@needs_patches
def test_a_real_fire_has_the_known_number_of_pixels(
    mode: str, sun: float, kumar_roy_pixels: int, murphy_pixels: int
) -> None:
    import rasterio

    with rasterio.open(
        REAL_PATCHES / "landsat_patches" / "LC08_L1TP_099069_20200827_20200827_01_RT_p00819.tif"
    ) as file:
        bands = dict(zip(FILE_BANDS, file.read(), strict=True))
    found = detect(SINGLE_DETECTORS, bands, sun, mode=mode)  # type: ignore[arg-type]
    counts = {name: int(mask.sum()) for name, mask in found.items()}
    assert counts == {"schroeder": 548, "murphy": murphy_pixels, "kumar-roy": kumar_roy_pixels}


def test_a_fill_tile_gives_none() -> None:
    fill = dict.fromkeys(FILE_BANDS, np.zeros((70, 70), np.uint16))
    assert not any(mask.any() for mask in detect(DETECTOR_BANDS, fill, 50.0).values())


def test_votes_are_counted() -> None:
    bands = burning_ground(3)
    found = detect(DETECTOR_BANDS, bands, 50.0)
    votes = sum(found[name].astype(int) for name in SINGLE_DETECTORS)
    assert isinstance(votes, np.ndarray)
    assert set(np.unique(votes)) == {0, 1, 2, 3}
    assert (found["intersection"] == (votes == 3)).all()
    assert (found["voting"] == (votes >= 2)).all()
    three = [found[name] for name in SINGLE_DETECTORS]
    assert (intersection(three) == (votes == 3)).all()
    assert (voting(three) == (votes >= 2)).all()
    assert list(detect(["voting"], bands, 50.0)) == ["voting"]


def one_fire(**neighbour: int) -> Bands:
    """Dim ground (DN 10,000) with one certain fire at (4, 4), and other DN at (4, 5)."""
    bands = {f"B{n}": np.full((9, 9), 10000, np.uint16) for n in range(1, 8)}
    bands["B7"][4, 4] = 50000
    for band, dn in neighbour.items():
        bands[band][4, 5] = dn
    return bands


def test_murphys_second_rule_asks_for_the_ratio_in_the_paper_only() -> None:
    steep, flat = one_fire(B6=40000, B5=20000), one_fire(B6=40000, B5=30000)
    assert [int(murphy(bands, 60.0).sum()) for bands in (steep, flat)] == [2, 1]
    assert [int(murphy(bands, 60.0, mode="published").sum()) for bands in (steep, flat)] == [2, 2]


def test_saturation_comes_from_the_quality_band_where_there_is_one() -> None:
    clipped = one_fire(B6=65535, B7=65535, B5=65535)
    assert murphy(clipped, 60.0)[4, 5]
    assert not murphy(clipped, 60.0, saturated=np.zeros((9, 9), np.bool_))[4, 5]
    marked = np.zeros((9, 9), np.bool_)
    marked[4, 5] = marked[0, 0] = True
    assert np.argwhere(murphy(one_fire(), 60.0, saturated=marked)).tolist() == [[4, 4], [4, 5]]


def test_other_calibrations_are_followed() -> None:
    bands = burning_ground(6, (80, 80))
    # DN of a sensor with half the gain and another offset: the same reflectance to half a DN.
    doubled = {band: np.rint((image * 2e-5 - 0.1) / 4e-5 + 4000).astype(np.uint16) for band, image in bands.items()}
    calibration = dict.fromkeys(bands, (4e-5, -0.16))
    for name, mask in detect(SINGLE_DETECTORS, doubled, 50.0, calibration=calibration).items():
        wanted = detect([name], bands, 50.0)[name]
        assert wanted.sum() > 20
        assert (mask != wanted).sum() <= 0.05 * wanted.sum()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: schroeder({k: b[k] for k in ("B2", "B6", "B7")}), "needs B1, B3, B4, B5; given are B2, B6, B7"),
        (lambda b: detect(["voting", "fire"], {}, 50.0), "unknown detector 'fire'.*voting needs B1.*given are none"),
        (lambda b: murphy(b, float("nan")), "murphy needs a sun elevation above 0 and up to 90 degrees, not nan"),
        (lambda b: detect(["kumar-roy"], b), "kumar-roy needs a sun elevation.*None"),
        (lambda b: murphy(b | {"B5": b["B5"][1:]}, 50.0), r"differ in shape: \(8, 9\), \(9, 9\)"),
        (lambda b: murphy(b, 50.0, saturated=np.zeros((2, 2), np.bool_)), r"saturation mask is \(2, 2\)"),
    ],
)  # fmt: skip
def test_what_cant_be_detected_is_told(call: Callable[[Bands], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(one_fire())
