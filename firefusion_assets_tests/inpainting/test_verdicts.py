"""Verdicts of a replicate: which accepted fires are copies, which are too small to tell, and how large fires fare."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.ndimage import label as components_of

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.engines.copy_paste.painter import CopyPastePainter
from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.inpainting.chunks import PaintJob
from firefusion_assets.inpainting.mask_kinds import TransplantedMasks
from firefusion_assets.inpainting.painting import SyntheticPatches, paint
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.inpainting.verdicts import Verdicts, screen_painted
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Sampling, Screening
from firefusion_assets.study.engine import Painter
from firefusion_assets.study.models import Backgrounds
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.parts import BANDS, table_of

MOVED = TransplantedMasks()

SIZE, IMAGES = 32, 20


def even_part(folder: Path) -> PatchPart:
    """Five patches of even ground, and four with a fire of 1, 3, 6 and 40 px on it."""
    rng = np.random.default_rng(5)
    shapes = [(0, 0)] * 5 + [(1, 1), (1, 3), (2, 3), (5, 8)]
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=SIZE)) as writer:
        for number, (height, width) in enumerate(shapes):
            bands = rng.integers(9000, 9020, (4, SIZE, SIZE)).astype(np.uint16)
            label = np.zeros((SIZE, SIZE), bool)
            label[12 : 12 + height, 10 : 10 + width] = True
            bands[:, label] = rng.integers(25000, 65000, (4, height * width))
            writer.add_patch(f"p{number}", Patch(bands, label, np.zeros_like(label)))
    patches = Patches(folder)
    return PatchPart(patches, patches.base_ids)


class Screened(NamedTuple):
    plan: Plan
    verdicts: Verdicts
    facts: dict[str, int]
    fires: pd.DataFrame


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Screened:
    root = tmp_path_factory.mktemp("screened")
    part = even_part(root / "store")
    fit(CopyPasteGenerator(engine="copy-paste"), part, root / "model")
    sampling = Sampling(images=IMAGES, max_tries=40, batch_size=4)
    return painted_and_screened(part, partial(CopyPastePainter, root / "model"), sampling, root)


def painted_and_screened(part: PatchPart, load: Callable[[], Painter], sampling: Sampling, root: Path) -> Screened:
    write_plan(part, table_of(part), Backgrounds(), MOVED, sampling, Draw(0, 0, 1), root / "plan")
    plan, screen = Plan.read(root / "plan", SIZE), Screen(Screening(min_changed=0.2), part)
    table = pd.DataFrame({"crs": "", "transform": [[30.0, 0, 0, 0, -30, 0]] * len(part), "sun_elevation": 50.0})
    job = PaintJob(
        fold=0, replicate=0, part=part, table=table.set_axis(part.ids), plan=plan, sampling=sampling,
        engine="copy-paste", model="m", patches="p", bit_depths=[16] * len(plan.rows),
    )  # fmt: skip
    paint(job, load, screen, ArtifactStore(root / "a"), root / "painted", print)
    synthetic = SyntheticPatches(root / "painted")
    engine = CopyPasteGenerator(engine="copy-paste")
    facts = screen_painted(synthetic, plan, part, screen, sampling.images, engine, root / "verdicts")
    verdicts, fires = Verdicts.read(root / "verdicts", SIZE), pd.read_parquet(root / "verdicts" / "fires.parquet")
    return Screened(plan, verdicts, {name: int(value) for name, value in facts.items()}, fires)


class Stuck:
    """Paints the same fire whatever the seed; the third of each batch a little differently."""

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        painted = backgrounds.copy()
        for number, label in enumerate(labels):
            painted[number][:, label] = 60_000 if number % 3 < 2 else 50_000
        return painted


def test_what_was_painted_before_on_the_same_ground_is_a_duplicate(tmp_path: Path) -> None:
    sampling = Sampling(images=12, max_tries=12, batch_size=3, seeds_per_pair=3)
    plan, verdicts, facts, _ = painted_and_screened(even_part(tmp_path / "store"), Stuck, sampling, tmp_path)
    ids = verdicts.rows["synthetic_id"]
    assert list(plan.rows["background"][:3].unique()) == [plan.rows["background"][0]], "else nothing is alike"
    expected = ["", f"a duplicate of {ids[0]}", ""]
    assert list(verdicts.rows["reason"][:3]) == expected
    assert list(verdicts.rows["accepted"]) == [not reason for reason in verdicts.rows["reason"]]
    assert facts["n_images"] == facts["n_passed"] == (verdicts.rows["reason"] == "").sum() < facts["tried"]


def test_a_fire_is_a_copy_or_none_or_too_small_to_tell(screened: Screened) -> None:
    plan, verdicts, facts, _ = screened
    seen = []
    for number, row in verdicts.rows.iterrows():
        if not row["accepted"]:
            assert row["copy"] == ""
            continue
        numbered, n = components_of(plan.labels[number], np.ones((3, 3)))
        largest = max(int((numbered == fire).sum()) for fire in range(1, n + 1))
        compared = row["nearest_patch"] != ""
        expected = "too small to tell" if largest < 4 and not compared else "no copy"
        assert row["copy"] == ("copy" if compared and row["nearest_distance"] < 0.25 else expected)
        seen.append(row["copy"])
    assert {"copy", "too small to tell"} <= set(seen), "otherwise this test says nothing"
    assert (facts["n_copies"], facts["n_too_small_to_tell"]) == (seen.count("copy"), seen.count("too small to tell"))


def test_each_fire_of_a_label_has_a_row(screened: Screened) -> None:
    plan, verdicts, facts, table = screened
    expected = []
    for number, synthetic_id in enumerate(verdicts.rows["synthetic_id"]):
        numbered, n = components_of(plan.labels[number], np.ones((3, 3)))
        expected += [(synthetic_id, int((numbered == fire).sum())) for fire in range(1, n + 1)]
    assert [*zip(table["synthetic_id"], table["pixels"], strict=True)] == expected
    assert (facts["n_fires"], facts["n_fires_unpainted"]) == (len(expected), (table["reason"] != "").sum())


def test_every_painted_patch_counts_in_the_class_of_its_size(screened: Screened) -> None:
    plan, verdicts, facts, _ = screened
    classes = {"1_4_px": range(1, 5), "5_19_px": range(5, 20), "20_99_px": range(20, 100)}
    passed = verdicts.rows["accepted"] | (verdicts.rows["reason"] == "more were painted than asked for")
    for name, sizes in classes.items():
        is_one = plan.rows["label_pixels"].iloc[: len(verdicts.rows)].isin(sizes)
        assert facts[f"tried_{name}"] == is_one.sum()
        assert facts[f"passed_{name}"] == (is_one & passed).sum()
    assert sum(facts[f"tried_{name}"] for name in classes) == facts["tried"]
