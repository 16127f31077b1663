"""What is measured of smoke and scars: the simulation's own are found again, and none where there are none."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from firefusion_assets.ingest.sources.settings import SimulatedDataset
from firefusion_assets.inpainting.beside.evidence import chance, level_shown
from firefusion_assets.inpainting.beside.measured import measure
from firefusion_assets.inpainting.beside.smoke import depth_of, haze_of
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.simulation import render as rendering
from firefusion_assets.simulation.burning import Burning, burning
from firefusion_assets.simulation.render import render
from firefusion_assets.simulation.scenes import Scene, scenes
from firefusion_assets.simulation.textures import Window
from firefusion_assets_tests.builders.real_data import REAL_PATCHES, needs_patches

SIZE = 64
SMOKE_DEPTH = dict(zip(("B1", "B2", "B3", "B4"), np.array([1.15, 1.05, 0.85, 0.68]) / 1.05, strict=True))
SMOKE_COLOUR = {"B1": 0.34, "B2": 0.33, "B3": 0.31, "B4": 0.30}
"""Of the simulation (`atmosphere.py`): optical depths over that of B2, and reflectance of thick smoke."""


class Tile(NamedTuple):
    """A simulated patch and the truth about it."""

    dn: npt.NDArray[np.uint16]
    label: npt.NDArray[np.bool_]
    fires: Burning
    sine: float


def tiles() -> list[Tile]:
    settings = {"source": "simulated", "patch_size": SIZE, "scenes": 7, "patches_per_scene": 16}
    return [
        Tile(*render(scene, window), burning(scene, window), float(np.sin(np.radians(scene.sun_elevation))))
        for scene in scenes(SimulatedDataset.model_validate(settings))
        for window in map(scene.tile, range(1, scene.patches + 1))
    ]


@pytest.fixture(scope="module")
def simulated() -> list[Tile]:
    return tiles()


def part_of(patches: list[tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]], folder: Path) -> PatchPart:
    size = patches[0][1].shape[0]
    with PatchWriter(folder, StoreMeta(study="t", bands=FILE_BANDS, patch_size=size)) as writer:
        for number, (dn, label) in enumerate(patches):
            writer.add_patch(f"{number:03d}", Patch(dn, label, np.zeros_like(label)))
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def pairs(some: list[Tile]) -> list[tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]]:
    return [(tile.dn, tile.label) for tile in some]


@pytest.mark.slow
def test_the_simulations_smoke_and_char_are_found_again(simulated: list[Tile], tmp_path: Path) -> None:
    beside = measure(part_of(pairs(simulated), tmp_path), ("smoke", "scar"))
    assert beside.smoke is not None and beside.scar is not None, beside.words
    burnt = [tile for tile in simulated if tile.label.any()]
    smoking = [tile for tile in burnt if (tile.fires.smoke > 0.3).sum() > 100]
    assert beside.smoke.found.large > beside.smoke.found.small  # the simulation's small fires don't smoke
    sine = np.mean([tile.sine for tile in smoking])
    for band, truth in SMOKE_DEPTH.items():
        assert depth_of(band, beside.smoke.veil.exponent) == pytest.approx(truth, abs=0.12)
        colour = (SMOKE_COLOUR[band] * sine + 0.1) / 2e-5
        assert beside.smoke.veil.colour == pytest.approx(colour, rel=0.15)
    charred = np.concatenate(
        [tile.dn[:, (tile.fires.char > 0.75) & (tile.fires.smoke < 0.02) & ~tile.label] for tile in burnt], axis=1
    )
    for band in ("B4", "B5", "B6", "B7"):
        char = np.median(charred[FILE_BANDS.index(band)])
        assert beside.scar.char[band] == pytest.approx(char, rel=0.15), band
    assert 0.6 < np.median(beside.scar.hidden) <= 1


@pytest.mark.slow
def test_the_depth_of_a_plume_is_that_of_the_simulation(simulated: list[Tile], tmp_path: Path) -> None:
    smoke = measure(part_of(pairs(simulated), tmp_path), ["smoke"]).smoke
    assert smoke is not None
    everywhere = np.ones((SIZE, SIZE), bool)
    seen = [
        (tile, haze)
        for tile in simulated
        if (haze := haze_of(dict(zip(FILE_BANDS, tile.dn, strict=True)), everywhere, tile.label)) is not None
    ]
    tile, haze = max(seen, key=lambda one: one[1].amount(one[0].label) if one[0].label.any() else 0.0)
    where = haze.beside(tile.label)
    found = smoke.veil.depths(haze.excess[:, where], haze.ground[:, where], haze.noise, list(SMOKE_DEPTH))
    truth = 1.05 * tile.fires.smoke[where]
    assert where.sum() > 300 and np.corrcoef(np.minimum(found, 2), np.minimum(truth, 2))[0, 1] > 0.9
    assert np.median(np.abs(found - truth)) < 0.25


def without(what: str) -> Callable[[Scene, Window], Burning]:
    def burning_without(scene: Scene, window: Window) -> Burning:
        fires = burning(scene, window)
        getattr(fires, what)[:] = 0
        return fires

    return burning_without


@pytest.mark.slow
@pytest.mark.parametrize(("field", "what"), [("smoke", "smoke"), ("char", "scar")])
def test_nothing_is_found_in_scenes_without(
    field: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "burning", without(field))
    beside = measure(part_of(pairs(tiles()), tmp_path), ("smoke", "scar"))
    assert getattr(beside, what) is None
    assert any(line.startswith(f"no {what} found beside 24 fires") for line in beside.words)


@pytest.mark.slow
@pytest.mark.parametrize(("exponent", "colour"), [(0.8, 24_000), (2.5, 16_000)])
def test_a_planted_veil_of_one_fire_is_found_again(
    simulated: list[Tile], tmp_path: Path, exponent: float, colour: float
) -> None:
    """Other smoke than it is looked for: greyer, bluer, brighter, darker; one burning patch alone."""
    clear = [tile for tile in simulated if not tile.label.any() and tile.fires.smoke.max() < 0.01]
    rows, columns = np.indices((SIZE, SIZE))
    depth = (
        1.5 * np.exp(-(((columns - 32) / 8) ** 2)) * np.clip((rows - 12) / 8, 0, 1) * np.clip((60 - rows) / 30, 0, 1)
    )
    label = np.zeros((SIZE, SIZE), bool)
    label[10:13, 28:37] = True
    veiled = clear[0].dn.astype(float)
    for band, wavelength in {"B1": 0.443, "B2": 0.482, "B3": 0.561, "B4": 0.655}.items():
        through = np.exp(-depth * (wavelength / 0.482) ** -exponent)
        veiled[FILE_BANDS.index(band)] = veiled[FILE_BANDS.index(band)] * through + colour * (1 - through)
    veiled[FILE_BANDS.index("B7"), label] += 20_000
    burning_patch = (np.rint(veiled).astype(np.uint16), label)
    smoke = measure(part_of([burning_patch, *pairs(clear[1:])], tmp_path), ["smoke"]).smoke
    assert smoke is not None
    assert smoke.veil.exponent == pytest.approx(exponent, abs=0.3)
    assert smoke.veil.colour == pytest.approx(colour, rel=0.15)
    assert smoke.plumes[0].reach == pytest.approx(40, abs=12)


def test_one_clear_fire_shows_it_and_chance_seldom_does() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 3, 10, 24):
        claims = [level_shown(rng.random(n).tolist()) is not None for _ in range(2000)]
        assert np.mean(claims) < 0.1
    assert level_shown([0.003, 1.0, 1.0, 1.0]) is not None
    assert level_shown([0.04]) is not None and level_shown([0.06]) is None
    assert level_shown([0.04, 1.0, 1.0, 1.0]) is None and level_shown([]) is None


def test_chance_counts_turned_labels_on_other_ground() -> None:
    label = np.zeros((4, 4), bool)
    label[0, 0] = True
    grounds = [lambda turned: float(turned[3, 3]), lambda turned: 0.0]
    # Of 16 placings two lie on the corner: the quarter turn by two, and its mirror image's like.
    assert chance(0.5, label, grounds) == pytest.approx((1 + 2) / (1 + 16))
    assert chance(0.0, label, grounds) == 1.0 and chance(0.5, label, []) == 1.0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PatchPart]:
    def read(pattern: str, folder: str = "landsat_patches") -> list[npt.NDArray[np.uint16]]:
        opened = map(rasterio.open, sorted((REAL_PATCHES / folder).glob(pattern)))
        return [file.read() for file in opened]

    (fire,), (mask,) = read("*099069*p00819.tif"), read("*099069*p00819.tif", "masks_patches")
    grounds = [(dn, np.zeros(dn.shape[1:], bool)) for dn in read("*020039*.tif")]
    yield part_of([(fire, mask[0] > 0), *grounds], tmp_path_factory.mktemp("real") / "part")


@needs_patches
@pytest.mark.slow
def test_smoke_and_scar_of_a_real_fire_are_found(real: PatchPart) -> None:
    """Two fronts in the Northern Territory, under smoke, with charred ground behind them."""
    beside = measure(real, ("smoke", "scar"))
    assert beside.smoke is not None and beside.scar is not None
    fire = real.read("000")
    ground = dict(zip(FILE_BANDS, np.median(fire.bands[:, 170:250, 20:240], axis=(1, 2)), strict=True))
    assert 1 < beside.smoke.veil.exponent < 3  # fine particles
    assert all(beside.smoke.veil.colour > 1.3 * ground[band] for band in ("B1", "B2", "B3"))
    assert beside.scar.char["B5"] < 0.9 * ground["B5"] and beside.scar.char["B7"] < ground["B7"]
    assert beside.smoke.plumes[0].reach > 60  # px; it drifts out of the patch
