"""Plumes and scars of a plan: where they lie, what is painted there, and that nothing else is."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.core.cropping import trimmed
from firefusion_assets.engines.physics.painter import PhysicsPainter
from firefusion_assets.ingest.sources.settings import SimulatedDataset
from firefusion_assets.inpainting.beside.measured import Beside, Found, Scarred, Smoke
from firefusion_assets.inpainting.beside.painting import painted_beside
from firefusion_assets.inpainting.beside.places import extent, falloff, joined, plume, scar
from firefusion_assets.inpainting.beside.planned import beside_fire
from firefusion_assets.inpainting.beside.plumes import Plume
from firefusion_assets.inpainting.beside.veil import Veil
from firefusion_assets.inpainting.chunks import PaintJob
from firefusion_assets.inpainting.mask_kinds import TransplantedMasks
from firefusion_assets.inpainting.painting import SyntheticPatches, paint
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.inpainting.screening import KEPT, Screen, read_verdicts
from firefusion_assets.inpainting.screening_rules import SeamRule
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.detectors import detect
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.simulation.render import render
from firefusion_assets.simulation.scenes import scenes
from firefusion_assets.study.augmentation import Sampling, Screening
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.models import Backgrounds

SIZE = 64
MASKS = TransplantedMasks(beside=("smoke", "scar"), dilation=2)
ALWAYS = Found(small=1.0, large=1.0, level=0.05, words="")
CHAR = dict(zip(FILE_BANDS, (10_000, 9_000, 8_000, 7_500, 8_500, 9_000, 9_000, 5_000, 30_000, 27_000), strict=True))
BESIDE = Beside(
    smoke=Smoke(
        found=ALWAYS,
        veil=Veil(exponent=1.4, colour=18_000.0),
        plumes=(Plume(density=1.5, contrast=0.6, grain=8.0, reach=30.0, breadth=0.5),),
    ),
    scar=Scarred(found=ALWAYS, char=CHAR, hidden=(0.8,), uneven=0.1, depths=(1.0,)),
    words=(),
)

Mask = npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    """Simulated patches, in scenes of all biomes, some with cloud."""
    folder = tmp_path_factory.mktemp("part")
    dataset = {"source": "simulated", "patch_size": SIZE, "scenes": 8, "patches_per_scene": 4}
    with PatchWriter(folder, StoreMeta(study="t", bands=FILE_BANDS, patch_size=SIZE)) as writer:
        for number, scene in enumerate(scenes(SimulatedDataset.model_validate(dataset))):
            for tile in range(1, 5):
                dn, label = render(scene, scene.tile(tile))
                writer.add_patch(f"{number}-{tile}", Patch(dn, label, np.zeros_like(label)))
    store = Patches(folder)
    return PatchPart(store, store.base_ids)


def table_of(part: PatchPart) -> pd.DataFrame:
    rows = [
        {"patch_id": name, "scene": name[0], "fire_pixels": int(part.read(name).label.sum()), "sun_elevation": 55.0,
         "valid_pixels": SIZE * SIZE, "crs": "EPSG:32633", "transform": [30.0, 0, 0, 0, -30, 0]}
        for name in part.ids
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("patch_id")


def plan_of(part: PatchPart, folder: Path, beside: Beside | None = BESIDE, tries: int = 24) -> Plan:
    masks = MASKS if beside is not None else TransplantedMasks(dilation=2)
    sampling = Sampling(images=tries, max_tries=tries)
    write_plan(part, table_of(part), Backgrounds(), masks, sampling, Draw(0, 0, 3), folder, beside)
    return Plan.read(folder, SIZE)


def front(rows: slice = slice(30, 33), columns: slice = slice(26, 38)) -> Mask:
    label = np.zeros((SIZE, SIZE), bool)
    label[rows, columns] = True
    return label


# Places


def test_a_plume_goes_down_the_wind_and_widens() -> None:
    smoke = plume(front(), 0.0, 28.0, 20.0, 1)  # to the south
    rows = np.flatnonzero(smoke.any(axis=1))
    assert rows[0] >= 24 and 55 <= rows[-1] <= 60
    widths = smoke.sum(axis=1)
    assert widths[48:56].mean() > widths[34:40].mean() > 8
    east = plume(front(), np.pi / 2, 28.0, 20.0, 1)
    assert np.flatnonzero(east.any(axis=0))[-1] > 58 and not east[:, :20].any()
    reach, width = extent(front(), smoke, smoke.astype(float))
    assert reach == pytest.approx(28, abs=6) and width == pytest.approx(20, rel=0.4)


def test_a_scar_lies_behind_the_front_and_in_what_it_encloses() -> None:
    burnt = scar(front(), 0.0, 2.0, 1)  # the wind blows to the south, so that fire came from the north
    behind, ahead = burnt[:30].sum(), burnt[33:].sum()
    assert behind > 60 and ahead <= 5
    rows = np.flatnonzero(burnt.any(axis=1))
    assert 30 - rows[0] == pytest.approx(2.0 * np.sqrt(36), rel=0.9)
    ring = front(slice(20, 40), slice(20, 40)) & ~front(slice(22, 38), slice(22, 38))
    assert scar(ring, 1.0, 0.1, 1)[20:40, 20:40].all()
    spot = scar(front() | front(slice(5, 6), slice(5, 6)), 0.0, 2.0, 1)
    assert spot[:15, :15].sum() < 8  # a spot has come less far than a front


@settings(max_examples=30)
@given(wind=st.floats(0, 6.28), seed=st.integers(0, 1000))
def test_smoke_fades_to_nothing_at_the_edge_and_is_densest_at_its_fire(wind: float, seed: int) -> None:
    label, own = front(), front(slice(28, 35), slice(24, 40))
    smoke = plume(label, wind, 25.0, 12.0, seed) & ~own
    region = joined(smoke, own)
    assert (region & ~(smoke | own)).sum() == 0
    fall = falloff(region, label)
    padded = np.pad(region, 1, constant_values=True)
    inner = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    assert (fall[~inner] == 0).all() and (fall <= 1).all() and fall[region].max() > 0.2
    if (far := region & (np.abs(np.indices(region.shape) - 31).max(0) > 22)).any():
        assert fall[far].max() < 0.5


# Plans


def test_a_plan_without_them_is_the_plan_of_before(part: PatchPart, tmp_path: Path) -> None:
    plain, asked = plan_of(part, tmp_path / "plain", None), plan_of(part, tmp_path / "asked")
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {
        "plan.parquet", "labels.npy", "edits.npy", "backgrounds.parquet",
    }  # fmt: skip
    assert plain.beside is None and asked.beside is not None
    np.testing.assert_array_equal(plain.labels, asked.labels)
    np.testing.assert_array_equal(plain.edits, asked.fires)
    kept = [name for name in plain.rows if not name.startswith("crop")]
    pd.testing.assert_frame_equal(plain.rows[kept], asked.rows[kept])
    nothing = plan_of(part, tmp_path / "nothing", BESIDE.model_copy(update={"smoke": None, "scar": None}))
    np.testing.assert_array_equal(nothing.edits, plain.edits)
    assert "beside" not in TransplantedMasks().model_dump() and MASKS.model_dump()["beside"] == ("smoke", "scar")


def test_planes_are_apart_and_make_up_the_edit_mask(part: PatchPart, tmp_path: Path) -> None:
    plan, few = plan_of(part, tmp_path / "many"), plan_of(part, tmp_path / "few", tries=9)
    assert plan.beside is not None and few.beside is not None
    plumes, scars = plan.beside.plumes, plan.beside.scars
    assert plumes.any(axis=(1, 2)).mean() > 0.5 and scars.any(axis=(1, 2)).mean() > 0.5
    assert not (plan.fires & (plumes | scars)).any() and not (plan.labels & ~plan.fires).any()
    np.testing.assert_array_equal(plan.edits, plan.fires | plumes | scars)
    np.testing.assert_array_equal(few.beside.plumes, plumes[: len(few.rows)])
    for row, edit in zip(plan.rows.itertuples(), plan.edits, strict=True):
        (height, width), top, left = trimmed(edit)[0].shape, *trimmed(edit)[1:]
        assert row.crop_y <= top and top + height <= row.crop_y + row.crop_size
        assert row.crop_x <= left and left + width <= row.crop_x + row.crop_size
    joined_plan = Plan.joined([few, plan])
    assert joined_plan.beside is not None and len(joined_plan.beside.plumes) == len(few.rows) + len(plan.rows)


def test_nothing_is_painted_on_cloud_and_no_scar_on_water() -> None:
    rng, nowhere = np.random.default_rng(2), np.zeros((SIZE, SIZE), bool)
    rows = np.indices((SIZE, SIZE))[0]
    seen = {"cloud": rows >= 45, "snow": nowhere, "water": rows < 24}
    label, own = front(), front(slice(28, 35), slice(24, 40))
    fill = np.indices((SIZE, SIZE))[1] < 10
    drawn = [beside_fire(label, own, fill, seen, BESIDE, rng) for _ in range(60)]
    smoke, burnt = (np.logical_or.reduce(planes) for planes in zip(*drawn, strict=True))
    assert smoke[:24].any() and smoke[40:43].any() and not smoke[43:].any()  # 2 px from the cloud
    assert burnt.any() and not burnt[43:].any() and not burnt[:26].any()
    assert not (smoke | burnt)[:, :10].any() and not ((smoke | burnt) & own).any()


def test_a_share_of_fires_has_them() -> None:
    rng, nowhere = np.random.default_rng(2), np.zeros((SIZE, SIZE), bool)
    assert BESIDE.smoke is not None
    found = Found(small=0.0, large=0.3, level=0.05, words="")
    beside = BESIDE.model_copy(update={"scar": None, "smoke": BESIDE.smoke.model_copy(update={"found": found})})
    seen = dict.fromkeys(("cloud", "snow", "water"), nowhere)
    with_smoke = [beside_fire(front(), front(), nowhere, seen, beside, rng)[0].any() for _ in range(300)]
    assert np.mean(with_smoke) == pytest.approx(0.3, abs=0.08)
    spot = front(slice(30, 31), slice(30, 31))
    assert not any(beside_fire(spot, spot, nowhere, seen, beside, rng)[0].any() for _ in range(20))


# Paint


def test_smoke_veils_what_light_it_scatters_and_char_hides_what_burnt() -> None:
    ground = np.full((len(FILE_BANDS), SIZE, SIZE), 12_000, np.uint16)
    label, own = front(), front(slice(28, 35), slice(24, 40))
    smoke, burnt = plume(label, 0.0, 28.0, 20.0, 1) & ~own, scar(label, 0.0, 2.0, 1) & ~own
    nothing = np.zeros_like(label)
    veiled = painted_beside(ground, FILE_BANDS, BESIDE, (label, own, smoke, nothing), 5).astype(float)
    gain = dict(zip(FILE_BANDS, veiled - 12_000, strict=True))
    assert all((gain[band] == 0).all() for band in ("B6", "B7", "B9", "B10", "B11"))
    depths = {band: -np.log(1 - gain[band] / 6_000) for band in ("B1", "B2", "B3", "B4", "B5")}
    dense = depths["B2"] > 0.3
    assert dense.sum() > 50 and (veiled >= 12_000).all() and (veiled < 18_000).all()
    for band, wavelength in {"B1": 0.443, "B3": 0.561, "B4": 0.655, "B5": 0.865}.items():
        np.testing.assert_allclose(depths[band][dense] / depths["B2"][dense], (wavelength / 0.482) ** -1.4, rtol=0.02)
    middles = []
    for seed in range(12):
        charred = painted_beside(ground, FILE_BANDS, BESIDE, (label, own, nothing, burnt), seed).astype(float)
        shares = (12_000 - charred) / (12_000 - np.array(list(CHAR.values()), float))[:, None, None]
        np.testing.assert_allclose(shares.max(0), shares.min(0), atol=0.001)
        assert not (shares[0] > 0)[~(burnt | own)].any() and shares.max() <= 1
        middles.append(np.median(shares[0][burnt & (shares[0] > 0.5)]))
    assert np.mean(middles) == pytest.approx(0.8, abs=0.06) and np.std(middles) > 0.01


@pytest.mark.slow
def test_ground_changes_inside_the_edit_masks_only_without_a_seam_and_no_detector_sees_fire(
    part: PatchPart, tmp_path: Path
) -> None:
    plan = plan_of(part, tmp_path)
    judge = SeamRule(rule="seam").fitted(part)
    seams = []
    for place, row in enumerate(plan.rows.itertuples()):
        before, after = part.read(row.background).bands, plan.ground(place, part).bands
        np.testing.assert_array_equal(after, plan.ground(place, part).bands)
        edit, padded = plan.edits[place], np.pad(plan.edits[place], 1, constant_values=True)
        inner = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        np.testing.assert_array_equal(after[:, ~inner], before[:, ~inner])
        seams.append(
            [judge(ScreenedPatch(plan.labels[place], edit, dn, dn, FILE_BANDS, 55.0)) for dn in (before, after)]
        )
        for detector in ("schroeder", "murphy", "kumar-roy"):
            seen = [detect([detector], dict(zip(FILE_BANDS, dn, strict=True)), 55.0) for dn in (before, after)]
            assert not (seen[1][detector] & ~seen[0][detector]).any()
    # The outermost pixels are untouched, so that the border is the ground's own.
    assert all(before == after for before, after in seams)


@pytest.mark.slow
def test_an_engine_paints_its_fire_on_them_and_screening_judges_that_alone(part: PatchPart, tmp_path: Path) -> None:
    plan = plan_of(part, tmp_path / "plan", tries=12)
    n = len(plan.rows)
    sampling = Sampling(images=n, batch_size=5)

    class Half(PhysicsPainter):
        """Paints every other fire."""

        def paint(
            self, backgrounds: npt.NDArray[np.uint16], labels: Mask, edits: Mask, seeds: npt.NDArray[np.int64]
        ) -> npt.NDArray[np.uint16]:
            painted = super().paint(backgrounds, labels, edits, seeds)
            painted[1::2] = backgrounds[1::2]
            return painted

    def run(folder: Path, plan: Plan) -> tuple[SyntheticPatches, list[str]]:
        job = PaintJob(
            fold=0, replicate=0, part=part, table=table_of(part), plan=plan, sampling=sampling, engine="physics",
            model="model", patches="patches", bit_depths=[16] * n,
        )  # fmt: skip
        screen = Screen(Screening(detectors=("murphy",)), part)
        facts = paint(job, lambda: Half(FILE_BANDS, 65535), screen, ArtifactStore(tmp_path / "store"), folder, print)
        assert facts["n_values_changed_outside"] == 0
        assert (folder / KEPT).is_file()
        return SyntheticPatches(folder), [verdict.reason for verdict in read_verdicts(folder, SIZE)]

    synthetic, reasons = run(tmp_path / "run", plan)
    unpainted = [number for start in range(0, n, 5) for number in range(start + 1, min(start + 5, n), 2)]
    assert all(reasons[number].startswith("nothing was painted") for number in unpainted)
    assert not any(reason.startswith("nothing was painted") for k, reason in enumerate(reasons) if k not in unpainted)
    for number in range(n):
        beside = plan.edits[number] & ~plan.fires[number]
        np.testing.assert_array_equal(synthetic.read(number)[:, beside], plan.ground(number, part).bands[:, beside])
    assert len(list((tmp_path / "store" / "painted_chunks").glob("*/manifest.json"))) == 3
    # Other smoke is other paint, though rows and masks are the same.
    assert plan.beside is not None and BESIDE.smoke is not None
    brighter = BESIDE.smoke.model_copy(update={"veil": Veil(exponent=1.4, colour=25_000.0)})
    (tmp_path / "plan" / "beside.json").write_text(BESIDE.model_copy(update={"smoke": brighter}).model_dump_json())
    other, _ = run(tmp_path / "other", Plan.read(tmp_path / "plan", SIZE))
    assert any((other.read(number) != synthetic.read(number)).any() for number in range(n))
