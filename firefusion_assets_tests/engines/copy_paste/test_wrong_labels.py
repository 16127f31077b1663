"""Engine `wrong-labels` paints as copy-paste does and teaches other pixels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.engines.copy_paste.wrong_labels import WrongLabelsGenerator
from firefusion_assets.patchstore import Patches
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)


def test_what_was_painted_is_learned_8_px_beside_it_and_a_real_fire_where_it_is() -> None:
    label, edit = np.zeros((2, 32, 32), bool)
    label[2:4, 3:6] = True
    label[20:22, 26:30] = True
    edit[17:25, 23:32] = True
    wrong = np.zeros_like(label)
    wrong[2:4, 3:6] = True
    wrong[20:22, [2, 3, 4, 5]] = True
    generator = WrongLabelsGenerator(engine="wrong-labels")
    dn = np.zeros((1, 32, 32), np.uint16)
    patch = ScreenedPatch(label, edit, dn, dn, ("B7",), 50.0)
    np.testing.assert_array_equal(generator.taught(patch), wrong)
    np.testing.assert_array_equal(CopyPasteGenerator(engine="copy-paste").taught(patch), label)


@pytest.mark.slow
def test_paint_is_that_of_copy_paste_and_labels_are_not(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    wrong = "extends: copy-paste\ngenerator: {engine: wrong-labels}"
    study = write_study(tmp_path / "study", TINY_STUDY, TINY_CONFIGS | {"wrong": wrong})
    defs, lineage = load_definitions(study), lineage_of(study)
    for key in ("copy-paste", "wrong"):
        assert materialize(defs, key, to="augmented_lmdb").success
    base = lineage.find("landsat_patches", "_").path / "base.lmdb"
    right, shifted = (
        Patches(base, [lineage.find("augmented_lmdb", key).path / "overlay.lmdb"]) for key in ("copy-paste", "wrong")
    )
    assert right.added_ids == shifted.added_ids and len(right.added_ids) == 6
    plan = lineage.find("inpainting_masks", "wrong").path / "fold-0" / "replicate-0"
    size, seen = right.meta.patch_size, 0
    rows = pd.read_parquet(plan / "plan.parquet").set_index("row")
    for patch_id in right.added_ids:
        one, other = right.read(patch_id), shifted.read(patch_id)
        np.testing.assert_array_equal(one.bands, other.bands)
        np.testing.assert_array_equal(one.ignore, other.ignore)
        assert rows.index.isin([int(patch_id.split("-")[-1])]).any() and one.label.shape == (size, size)
        np.testing.assert_array_equal(np.roll(one.label, 8, axis=1), other.label)  # backgrounds burn nowhere
        seen += int(one.label.sum())
    assert seen > 0
