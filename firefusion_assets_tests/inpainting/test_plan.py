"""The plan: masks lie where they may, rows don't depend on how many there are, pairing is what its name says."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label as components_of

from firefusion_assets.core.cropping import trimmed
from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.orientation import turned
from firefusion_assets.inpainting.choice import PlanError
from firefusion_assets.inpainting.mask_kinds import TransplantedMasks
from firefusion_assets.inpainting.masks import place
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.masks import Masks
from firefusion_assets.study.models import Backgrounds
from firefusion_assets.study.registry import known
from firefusion_assets_tests.builders.parts import BANDS, make_part, table_of

MOVED = TransplantedMasks()

KINDS = st.sampled_from(["annotated", "transplanted", "box", "random", "dilated", "perlin", "spread"])


def plan_of(
    part: PatchPart, folder: Path, kind: str = "transplanted", fold: int = 0, replicate: int = 0, **sampling: object
) -> Plan:
    settings_ = Sampling.model_validate({"images": 4, "max_tries": 12} | sampling)
    write_plan(
        part,
        table_of(part),
        Backgrounds(),
        known(Masks)[kind].model_validate({"kind": kind, "dilation": 2}),
        settings_,
        Draw(fold, replicate, settings_.seed),
        folder,
    )
    return Plan.read(folder, part.meta.patch_size)


@settings(max_examples=25)
@given(kind=KINDS, seed=st.integers(0, 2**31), tries=st.integers(0, 20))
def test_masks_lie_on_ground_within_their_edit_and_crop(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int, tries: int
) -> None:
    part = make_part(tmp_path_factory.mktemp("part"))
    plan = plan_of(part, tmp_path_factory.mktemp("plan"), kind, images=0, max_tries=max(1, tries), seed=seed)
    for row, label, edit in zip(plan.rows.itertuples(), plan.labels, plan.edits, strict=True):
        background = part.read(row.background)
        assert label.any() and label.sum() == row.label_pixels
        assert not (label & ~edit).any()
        assert not (edit & background.ignore).any()
        if kind == "annotated":
            np.testing.assert_array_equal(label, background.label)
            assert row.background == row.mask
        else:
            assert row.background.startswith("free") and not (label & background.label).any()
        slow = np.zeros_like(label)
        for y, x in np.argwhere(label):
            yy, xx = np.ogrid[: len(label), : len(label)]
            slow |= (yy - y) ** 2 + (xx - x) ** 2 <= 4
        np.testing.assert_array_equal(edit, slow & ~background.ignore)
        crop = np.zeros_like(edit)
        crop[row.crop_y : row.crop_y + row.crop_size, row.crop_x : row.crop_x + row.crop_size] = True
        assert not (edit & ~crop).any()


@pytest.mark.parametrize("pairing", ["pairs", "complete"])
@pytest.mark.parametrize("kind", ["transplanted", "box"])
def test_a_smaller_plan_is_a_prefix_of_a_larger_one(part: PatchPart, tmp_path: Path, kind: str, pairing: str) -> None:
    few = plan_of(part, tmp_path / "few", kind, max_tries=7, pairing=pairing)
    many = plan_of(part, tmp_path / "many", kind, max_tries=30, pairing=pairing)
    n = len(few.rows)
    pd.testing.assert_frame_equal(few.rows, many.rows[:n])
    np.testing.assert_array_equal(few.labels, many.labels[:n])
    np.testing.assert_array_equal(few.edits, many.edits[:n])


def test_same_seed_same_plan_other_seed_or_fold_other_plan(part: PatchPart, tmp_path: Path) -> None:
    first, again = (plan_of(part, tmp_path / name) for name in ("a", "b"))
    assert (tmp_path / "a" / "labels.npy").read_bytes() == (tmp_path / "b" / "labels.npy").read_bytes()
    pd.testing.assert_frame_equal(first.rows, again.rows)
    assert not first.rows.equals(plan_of(part, tmp_path / "c", seed=9).rows)
    assert not first.rows.equals(plan_of(part, tmp_path / "d", fold=1).rows)


def test_rows_of_replicates_have_numbers_of_their_own_and_nothing_else_in_common(
    part: PatchPart, tmp_path: Path
) -> None:
    """The numbers name a row of a fold: images that are painted elsewhere are found by them."""
    plans = [plan_of(part, tmp_path / str(n), replicate=n, seed=5 + n) for n in range(3)]
    joined = Plan.joined(plans)
    assert len(joined.rows) == len(joined.labels) == len(joined.edits) == sum(len(plan.rows) for plan in plans)
    assert joined.rows["row"].is_unique and joined.rows["seed"].is_unique
    np.testing.assert_array_equal(joined.labels[-1], plans[-1].labels[-1])
    same = plan_of(part, tmp_path / "same", replicate=2, seed=5)
    assert (same.rows["row"] - plans[0].rows["row"]).unique().tolist() == [2_000_000]
    pd.testing.assert_frame_equal(same.rows.drop(columns="row"), plans[0].rows.drop(columns="row"))


def test_complete_pairs_every_background_with_every_mask_once(part: PatchPart, tmp_path: Path) -> None:
    plan = plan_of(part, tmp_path, max_tries=20, pairing="complete")  # 5 backgrounds, 4 masks
    pairs = Counter(zip(plan.rows["background"], plan.rows["mask"], strict=True))
    assert len(pairs) == 20 and set(pairs.values()) == {1}


def test_pairs_uses_every_background_and_mask_equally(part: PatchPart, tmp_path: Path) -> None:
    plan = plan_of(part, tmp_path, max_tries=20, pairing="pairs")
    assert set(Counter(plan.rows["background"]).values()) == {4}
    assert set(Counter(plan.rows["mask"]).values()) == {5}


@pytest.mark.parametrize("kind", ["annotated", "transplanted", "box"])
def test_several_seeds_share_background_mask_and_place(part: PatchPart, tmp_path: Path, kind: str) -> None:
    single = plan_of(part, tmp_path / "single", kind, max_tries=4)
    plan = plan_of(part, tmp_path / "several", kind, max_tries=12, seeds_per_pair=3)
    assert len(plan.rows) == 12 and plan.rows["seed"].nunique() == 12
    seedless = [name for name in plan.rows if name not in ("row", "seed")]
    for number in range(12):
        assert plan.rows.loc[number, seedless].tolist() == single.rows.loc[number // 3, seedless].tolist()
        np.testing.assert_array_equal(plan.labels[number], single.labels[number // 3])
        np.testing.assert_array_equal(plan.edits[number], single.edits[number // 3])


def test_a_transplanted_mask_is_the_real_one_turned_and_moved(part: PatchPart, tmp_path: Path) -> None:
    plan = plan_of(part, tmp_path, max_tries=30)
    turns = set()
    for row, label in zip(plan.rows.itertuples(), plan.labels, strict=True):
        shape, y, x = trimmed(label)
        np.testing.assert_array_equal(shape, turned(trimmed(part.read(row.mask).label)[0], row.turn))
        assert (y, x) == (row.y, row.x)
        turns.add(row.turn)
    assert len(turns) > 4


def test_boxes_are_boxes_of_real_components(part: PatchPart, tmp_path: Path) -> None:
    plan = plan_of(part, tmp_path, "box", max_tries=30)
    for row, label in zip(plan.rows.itertuples(), plan.labels, strict=True):
        shape = trimmed(label)[0]
        assert shape.all()
        components, n = components_of(part.read(row.mask).label, np.ones((3, 3)))
        sizes = {trimmed(components == i)[0].shape for i in range(1, n + 1)}
        assert shape.shape in sizes or shape.shape[::-1] in sizes


def test_whole_masks_leave_out_what_a_border_cuts(tmp_path: Path) -> None:
    label = np.zeros((32, 32), bool)
    label[0:5, 10:14] = label[20:23, 8:12] = True
    cut = np.zeros_like(label)
    cut[10:20, 30:] = True
    bands = np.random.default_rng(1).integers(7000, 12000, (4, 32, 32)).astype(np.uint16)
    with PatchWriter(tmp_path / "part", StoreMeta(study="t", bands=BANDS, patch_size=32)) as writer:
        for name, mask in (("free", label & False), ("both", label), ("cut", cut)):
            writer.add_patch(name, Patch(bands, mask, label & False))
    store = Patches(tmp_path / "part")
    part = PatchPart(store, store.base_ids)

    def shapes(part: PatchPart, folder: Path, whole: bool) -> set[tuple[int, int]]:
        sampling = Sampling(images=6, max_tries=6)
        write_plan(part, table_of(part), Backgrounds(), TransplantedMasks(whole=whole), sampling, Draw(0, 0, 1), folder)
        return {
            (min(shape), max(shape)) for shape in (trimmed(label)[0].shape for label in Plan.read(folder, 32).labels)
        }

    assert shapes(part, tmp_path / "whole", True) == {(3, 4)}
    assert shapes(part, tmp_path / "all", False) == {(2, 10), (6, 23)}
    with pytest.raises(PlanError, match="holds no fire that its patch's border doesn't cut; set masks.whole: false"):
        shapes(PatchPart(store, ["free", "cut"]), tmp_path / "none", True)


@pytest.mark.parametrize("avoid", [(), ("water",), ("cloud",), ("water", "cloud")])
def test_labels_lie_on_no_ground_that_is_avoided(tmp_path: Path, avoid: tuple[str, ...]) -> None:
    reflectance = {"land": (0.05, 0.08, 0.3, 0.2), "water": (0.06, 0.04, 0.02, 0.01), "cloud": (0.5, 0.5, 0.5, 0.4)}
    kinds = np.array(["land", "water", "cloud"])[np.repeat([0, 1, 0, 2], 8)]
    spectra = np.array([reflectance[kind] for kind in kinds]).T
    # DN of Landsat-8 level-1 products: reflectance times the sine of the sun's elevation, offset 0.1, steps of 2e-5.
    dn = np.rint((spectra * np.sin(np.radians(50.0)) + 0.1) / 2e-5).astype(np.uint16)
    bands = np.broadcast_to(dn[:, None, :], (4, 32, 32))
    fire = np.zeros((32, 32), bool)
    fire[10:13, 3:6] = True
    with PatchWriter(tmp_path / "part", StoreMeta(study="t", bands=("B2", "B4", "B5", "B6"), patch_size=32)) as writer:
        for name, mask in (("free", fire & False), ("fire", fire)):
            writer.add_patch(name, Patch(bands, mask, fire & False))
    store = Patches(tmp_path / "part")
    part, masks = PatchPart(store, store.base_ids), TransplantedMasks.model_validate({"avoid": avoid})
    sampling = Sampling(images=60, max_tries=60)
    write_plan(part, table_of(part), Backgrounds(), masks, sampling, Draw(0, 0, 1), tmp_path)
    plan = Plan.read(tmp_path, 32)
    touched = {str(kind) for label in plan.labels for kind in kinds[label.any(axis=0)]}
    assert len(plan.rows) == 60 and touched == {"land", "water", "cloud"} - {*avoid}


def test_an_empty_plan_is_valid(part: PatchPart, tmp_path: Path) -> None:
    facts = write_plan(part, table_of(part), Backgrounds(), MOVED, Sampling(), Draw(0, 0, 1), tmp_path)
    plan = Plan.read(tmp_path, 32)
    assert facts["n_rows"] == len(plan.rows) == 0 and plan.labels.shape == (0, 32, 32)


def test_a_part_without_fire_is_refused(tmp_path: Path) -> None:
    part = make_part(tmp_path / "part", n_fire=0)
    with pytest.raises(PlanError, match="holds no fire"):
        plan_of(part, tmp_path / "plan")


def test_a_part_without_free_patches_paints_beside_its_own_fires(tmp_path: Path) -> None:
    part = make_part(tmp_path / "part", n_free=0)
    plan = plan_of(part, tmp_path / "plan")
    for row, label in zip(plan.rows.itertuples(), plan.labels, strict=True):
        assert row.background.startswith("fire") and not (label & part.read(row.background).label).any()


def test_no_place_is_said_and_not_forced() -> None:
    forbidden = np.ones((8, 8), bool)
    rng = np.random.default_rng(0)
    assert place(np.ones((3, 3), bool), forbidden, np.zeros((8, 8), bool), 2, rng) is None
    free = place(np.ones((8, 8), bool), ~forbidden, ~forbidden, 2, rng)
    assert free is not None and free.label.all()


def test_dilation_of_nothing_is_nothing() -> None:
    assert not dilated(np.zeros((5, 5), bool), 3).any()
