"""Verdicts of a replicate: which accepted fires are copies, which are too small to tell, and how large fires fare."""

from functools import partial
from pathlib import Path

import numpy as np
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


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Verdicts, dict[str, int]]:
    root = tmp_path_factory.mktemp("screened")
    part = even_part(root / "store")
    engine, sampling = CopyPasteGenerator(engine="copy-paste"), Sampling(images=IMAGES, max_tries=40, batch_size=4)
    fit(engine, part, root / "model")
    write_plan(part, table_of(part), Backgrounds(), MOVED, sampling, Draw(0, 0, 1), root / "plan")
    plan, screen = Plan.read(root / "plan", SIZE), Screen(Screening(min_changed=0.2), part)
    table = pd.DataFrame({"crs": "", "transform": [[30.0, 0, 0, 0, -30, 0]] * len(part), "sun_elevation": 50.0})
    job = PaintJob(
        fold=0, replicate=0, part=part, table=table.set_axis(part.ids), plan=plan, sampling=sampling,
        engine="copy-paste", model="m", patches="p", bit_depths=[16] * len(plan.rows),
    )  # fmt: skip
    paint(job, partial(CopyPastePainter, root / "model"), screen, ArtifactStore(root / "a"), root / "painted", print)
    synthetic = SyntheticPatches(root / "painted")
    facts = screen_painted(synthetic, plan, part, screen, IMAGES, engine, root / "verdicts")
    return plan, Verdicts.read(root / "verdicts", SIZE), {name: int(value) for name, value in facts.items()}


def test_a_fire_is_a_copy_or_none_or_too_small_to_tell(screened: tuple[Plan, Verdicts, dict[str, int]]) -> None:
    plan, verdicts, facts = screened
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


def test_every_painted_patch_counts_in_the_class_of_its_size(screened: tuple[Plan, Verdicts, dict[str, int]]) -> None:
    plan, verdicts, facts = screened
    classes = {"1_4_px": range(1, 5), "5_19_px": range(5, 20), "20_99_px": range(20, 100)}
    passed = verdicts.rows["accepted"] | (verdicts.rows["reason"] == "more were painted than asked for")
    for name, sizes in classes.items():
        is_one = plan.rows["label_pixels"].iloc[: len(verdicts.rows)].isin(sizes)
        assert facts[f"tried_{name}"] == is_one.sum()
        assert facts[f"passed_{name}"] == (is_one & passed).sum()
    assert sum(facts[f"tried_{name}"] for name in classes) == facts["tried"]
