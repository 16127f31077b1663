"""Every engine keeps the contract; copy-paste transplants what the donor really adds."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from firefusion_assets.engines.blending import feather
from firefusion_assets.engines.contract import DamagedModelError, NoFireError, compose
from firefusion_assets.engines.copy_paste.donors import donors
from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.engines.native.settings import NativeGenerator
from firefusion_assets.engines.none.settings import NoGenerator
from firefusion_assets.engines.windows import Place, paint_by_windows
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Painter
from firefusion_assets_tests.builders.fitting import fit

SIZE = 32
COPY_PASTE = CopyPasteGenerator(engine="copy-paste")
NATIVE = NativeGenerator(engine="native", crop=16, steps=3, batch_size=2, channels=(8, 16))
SAMPLING = Sampling(images=1, steps=2)

Mask = npt.NDArray[np.bool_]


def train_part(folder: Path, patches: list[Patch], dn_max: int = 65535) -> PatchPart:
    meta = StoreMeta(
        study="t",
        bands=tuple(f"B{i + 1}" for i in range(len(patches[0].bands))),
        patch_size=patches[0].label.shape[0],
        dn_max=dn_max,
    )
    with PatchWriter(folder, meta) as writer:
        for number, patch in enumerate(patches):
            writer.add_patch(f"p{number}", patch)
    return PatchPart(Patches(folder), [f"p{number}" for number in range(len(patches))])


def scene(seed: int, n_bands: int, fire: bool = True, dn_max: int = 65535) -> Patch:
    """A textured patch, with a hot blob of a random size if wanted."""
    rng = np.random.default_rng(seed)
    dn = rng.normal(0.15 * dn_max, 0.01 * dn_max, (n_bands, SIZE, SIZE))
    label = np.zeros((SIZE, SIZE), bool)
    if fire:
        row, column, height, width = rng.integers((2, 2, 1, 1), (SIZE - 8, SIZE - 8, 7, 7))
        label[row : row + height, column : column + width] = True
        dn[:, label] += rng.lognormal(np.log(0.4 * dn_max), 0.5, label.sum())
    bands = np.clip(dn, 1, dn_max).astype(np.uint16)
    return Patch(bands, label, np.zeros_like(label))


def flat(dn: int, n_bands: int = 2) -> npt.NDArray[np.uint16]:
    return np.full((n_bands, SIZE, SIZE), dn, np.uint16)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def painters(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Painter]:
    """Both engines fitted on 3 and on 10 bands; the 3 bands are of a 12-bit sensor."""
    fitted: dict[tuple[str, int], Painter] = {}
    for n_bands, dn_max in ((3, 4095), (10, 65535)):
        folder = tmp_path_factory.mktemp("fitted")
        patches = [scene(seed, n_bands, fire=seed % 2 == 0, dn_max=dn_max) for seed in range(6)]
        part = train_part(folder / "store", patches, dn_max)
        for generator in (COPY_PASTE, NATIVE):
            fit(generator, part, folder / generator.engine)
            fitted[generator.engine, n_bands] = generator.load(folder / generator.engine, SAMPLING)
    return fitted


@st.composite
def masks(draw: st.DrawFn) -> tuple[Mask, Mask]:
    """A label and an edit mask that holds it: rectangles anywhere, borders included, and the odd extremes."""
    label = np.zeros((SIZE, SIZE), bool)
    for _ in range(draw(st.integers(0, 3))):
        top, left = draw(st.integers(0, SIZE - 1)), draw(st.integers(0, SIZE - 1))
        label[top : top + draw(st.integers(1, SIZE)), left : left + draw(st.integers(1, 6))] = True
    if draw(st.integers(0, 9)) == 0:
        return label, np.ones_like(label)
    grown = draw(st.integers(0, 4))
    edit = np.zeros_like(label)
    for row, column in np.argwhere(label):
        edit[max(row - grown, 0) : row + grown + 1, max(column - grown, 0) : column + grown + 1] = True
    return label, edit


@pytest.mark.parametrize("n_bands", [3, 10])
@pytest.mark.parametrize("engine", ["copy-paste", pytest.param("native", marks=pytest.mark.slow)])
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(pairs=st.lists(masks(), min_size=1, max_size=3), seed=st.integers(0, 2**62), fill=st.booleans())
def test_engines_paint_valid_dn_inside_and_nothing_outside(
    painters: dict[tuple[str, int], Painter],
    engine: str,
    n_bands: int,
    pairs: list[tuple[Mask, Mask]],
    seed: int,
    fill: bool,
) -> None:
    dn_max = {3: 4095, 10: 65535}[n_bands]
    rng = np.random.default_rng(seed)
    backgrounds = rng.integers(0 if fill else 1, dn_max, (len(pairs), n_bands, SIZE, SIZE), np.uint16, endpoint=True)
    labels, edits = (np.stack(planes) for planes in zip(*pairs, strict=True))
    before = backgrounds.copy()
    seeds = np.arange(seed, seed + len(pairs))
    painted = painters[engine, n_bands].paint(backgrounds, labels, edits, seeds)
    assert painted.dtype == np.uint16
    np.testing.assert_array_equal(backgrounds, before)
    for patch, background, edit in zip(painted, backgrounds, edits, strict=True):
        np.testing.assert_array_equal(patch[:, ~edit], background[:, ~edit])
        assert ((patch[:, edit] >= 1) & (patch[:, edit] <= dn_max)).all()
    np.testing.assert_array_equal(painters[engine, n_bands].paint(backgrounds, labels, edits, seeds), painted)


@pytest.mark.parametrize("engine", ["copy-paste", "native"])
def test_another_seed_paints_another_fire(painters: dict[tuple[str, int], Painter], engine: str) -> None:
    label = np.zeros((4, SIZE, SIZE), bool)
    label[:, 10, 10] = True
    edit = np.zeros_like(label)
    edit[:, 8:13, 8:13] = True
    backgrounds = np.repeat(scene(9, 10, fire=False).bands[None], 4, axis=0)
    painted = painters[engine, 10].paint(backgrounds, label, edit, np.arange(4))
    assert len({patch[:, 10, 10].tobytes() for patch in painted}) > 1


def test_compose_rounds_and_clips_and_restores() -> None:
    backgrounds = np.array([[[[7, 8, 9, 10]]], [[[7, 8, 9, 10]]]], np.uint16)
    painted = np.array([[[[-5.0, 2.6, 1e9, np.nan]]], [[[-5.0, np.inf, 1e9, 3]]]])
    edits = np.repeat(np.array([[[True, True, True, False]]]), 2, axis=0)
    # What isn't a number inside the edit mask leaves the whole patch, and no other, as it was.
    assert compose(painted, backgrounds, edits, 4095).tolist() == [[[[1, 3, 4095, 10]]], [[[7, 8, 9, 10]]]]


def test_a_patch_with_one_window_that_is_no_number_stays_as_it_was() -> None:
    backgrounds = np.full((3, 1, SIZE, SIZE), 9000, np.uint16)
    edits = np.zeros((3, SIZE, SIZE), bool)
    edits[:, 1:3, 1:3] = edits[:, 25:28, 25:28] = True

    def sample(known: np.ndarray, label: np.ndarray, edit: np.ndarray, places: list[Place]) -> np.ndarray:
        paint = np.full(known.shape, 20000.0)
        for number, place in enumerate(places):
            if (place.patch, place.number) == (1, 0):
                paint[number, 0, edit[number]] = np.nan
        return paint

    painted = paint_by_windows(backgrounds, edits, edits, 16, 65535, sample)
    np.testing.assert_array_equal(painted[1], backgrounds[1])
    for number in (0, 2):
        np.testing.assert_array_equal(painted[number, 0], np.where(edits[number], 20000, 9000))


def test_a_model_that_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    part = train_part(tmp_path / "store", [scene(seed, 4) for seed in range(3)])
    fit(NATIVE, part, tmp_path / "model")
    weights = next((tmp_path / "model" / "unet").glob("*.safetensors"))
    values = load_file(weights)
    values["conv_in.bias"][0] = float("nan")
    save_file(values, weights)
    with pytest.raises(DamagedModelError, match=r"model: conv_in.bias .* lower generator.learning_rate"):
        NATIVE.load(tmp_path / "model", Sampling(images=1))


@pytest.mark.parametrize("generator", [COPY_PASTE, NATIVE], ids=lambda generator: generator.engine)
def test_a_train_part_without_fire_is_an_error(tmp_path: Path, generator: CopyPasteGenerator | NativeGenerator) -> None:
    ignored = scene(0, 2)._replace(ignore=np.ones((SIZE, SIZE), bool))
    part = train_part(tmp_path / "store", [scene(1, 2, fire=False), ignored])
    with pytest.raises(NoFireError, match="none of the 2 patches"):
        fit(generator, part, tmp_path / "model")


def test_a_fire_without_ground_around_it_is_no_donor(tmp_path: Path) -> None:
    everywhere = Patch(flat(9000), np.ones((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool))
    with pytest.raises(NoFireError, match="no ground is left"):
        fit(COPY_PASTE, train_part(tmp_path / "store", [everywhere]), tmp_path / "model")


def test_engines_are_imported_only_when_used() -> None:
    code = "import sys; from firefusion_assets.study import registry, engine; "
    code += "print(*registry.known(engine.Engine), *sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "copy-paste" in loaded and "firefusion_assets.engines.copy_paste.settings" in loaded
    assert not {"torch", "diffusers", "scipy", "safetensors", "lmdb", "pandas"} & set(loaded)


def test_engine_none_writes_an_empty_object_and_paints_nothing(tmp_path: Path) -> None:
    part = train_part(tmp_path / "store", [scene(1, 2, fire=False)])
    assert fit(NoGenerator(), part, tmp_path / "model") == {"n": 0}
    assert json.loads((tmp_path / "model" / "model.json").read_text()) == {"engine": "none", "n": 0}
    with pytest.raises(ValueError, match="paints nothing"):
        NoGenerator().load(tmp_path / "model", SAMPLING)


@pytest.fixture
def transplant(tmp_path: Path) -> Callable[..., npt.NDArray[np.uint16]]:
    """Fits copy-paste on one donor patch and paints one label into a flat background."""

    def paint(donor: Patch, background: int, label: Mask, edit: Mask, seed: int = 0) -> npt.NDArray[np.uint16]:
        part = train_part(tmp_path / "store", [donor])
        fit(COPY_PASTE, part, tmp_path / "model")
        painter = COPY_PASTE.load(tmp_path / "model", SAMPLING)
        return painter.paint(flat(background)[None], label[None], edit[None], np.array([seed]))[0]

    return paint


def test_copy_paste_adds_the_donors_excess_in_any_orientation(
    transplant: Callable[..., npt.NDArray[np.uint16]],
) -> None:
    bands, label = flat(1000), np.zeros((SIZE, SIZE), bool)
    excess = {(5, 5): (100, 900), (6, 5): (200, 800), (7, 5): (300, 700), (7, 6): (None, 600)}
    for (row, column), (first, second) in excess.items():
        label[row, column] = True
        bands[:, row, column] = (65535 if first is None else 1000 + first, 1000 + second)
    # The same L on its back: (row, column) goes to (20 + column - 5, 20 - (row - 5)).
    turned = {(20 + column - 5, 20 - (row - 5)): value for (row, column), value in excess.items()}
    target = np.zeros_like(label)
    target[tuple(np.transpose(list(turned)))] = True
    edit = np.zeros_like(label)
    edit[15:26, 13:26] = True
    painted = transplant(Patch(bands, label, np.zeros_like(label)), 3000, target, edit)
    expected = flat(3000)
    for (row, column), (first, second) in turned.items():
        expected[:, row, column] = (65535 if first is None else 3000 + first, 3000 + second)
    np.testing.assert_array_equal(painted, expected)


def test_copy_paste_leaves_label_pixels_without_donor_fire_alone(
    transplant: Callable[..., npt.NDArray[np.uint16]],
) -> None:
    bands, fire = flat(1000), np.zeros((SIZE, SIZE), bool)
    fire[5, 5] = True
    bands[:, 5, 5] = 9000
    box = np.zeros_like(fire)
    box[10:15, 10:15] = True
    painted = transplant(Patch(bands, fire, np.zeros_like(fire)), 2000, box, box)
    expected = flat(2000)
    expected[:, 12, 12] = 10000
    np.testing.assert_array_equal(painted, expected)


def test_copy_paste_fades_the_donors_surroundings_towards_the_edge_of_the_edit_mask(
    transplant: Callable[..., npt.NDArray[np.uint16]],
) -> None:
    bands, fire = flat(1000), np.zeros((SIZE, SIZE), bool)
    fire[10, 10] = True
    glow = np.zeros_like(fire)
    glow[9:12, 9:12] = True
    bands[:, glow] = 1400
    bands[:, fire] = 5000
    edit = np.zeros_like(fire)
    edit[17:24, 17:24] = True
    label = np.zeros_like(fire)
    label[20, 20] = True
    painted = transplant(Patch(bands, fire, np.zeros_like(fire)), 2000, label, edit)
    assert painted[0, 20, 20] == 6000
    assert painted[0, 20, 21] == 2300  # 1 px from the label, 3 px from what must not change: 3/4 of the glow
    assert painted[0, 20, 22] == 2000


def test_feather_is_one_on_the_label_and_falls_to_the_edge() -> None:
    label, edit = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    label[:, 4] = True
    edit[:, 1:8] = True
    opacity = feather(label, edit)
    np.testing.assert_allclose(opacity[4], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])


def test_fragments_are_one_donor_and_distant_fires_are_not() -> None:
    patch = scene(0, 2, fire=False)
    patch.label[5, [5, 8]] = True
    patch.label[20, 20] = True
    patch.label[30, 30] = True
    patch.ignore[30, 30] = True
    patch.ignore[6, 6] = True
    cut = list(donors(patch))
    assert [int(donor.fire.sum()) for donor in cut] == [2, 1]
    assert cut[0].bands.shape == (2, 12, 15)  # 6 px around, cut at the patch's border
    np.testing.assert_array_equal(cut[0].bands, patch.bands[:, 0:12, 0:15])
    assert not cut[0].ground[5, 5] and not cut[0].ground[6, 6] and cut[0].ground[0, 0]


def test_many_donors_of_one_shape_take_turns(tmp_path: Path) -> None:
    patches = []
    for number in range(12):
        bands, label = flat(1000), np.zeros((SIZE, SIZE), bool)
        label[10, 10] = True
        bands[:, 10, 10] = 2000 + number
        patches.append(Patch(bands, label, np.zeros_like(label)))
    facts = fit(COPY_PASTE, train_part(tmp_path / "store", patches), tmp_path / "model")
    assert facts == {"n_fire_patches": 12, "n_donors": 12}
    label = np.zeros((40, SIZE, SIZE), bool)
    label[:, 3, 3] = True
    painted = COPY_PASTE.load(tmp_path / "model", SAMPLING).paint(
        np.repeat(flat(1000)[None], 40, axis=0), label, label, np.arange(40)
    )
    used = set(painted[:, 0, 3, 3].tolist())
    assert len(used) > 6
    assert used <= {2000 + number for number in range(12)}
