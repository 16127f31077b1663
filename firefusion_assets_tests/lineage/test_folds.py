"""What is measured on a train part is measured once, and kept for as long as its split is."""

from pathlib import Path
from typing import Any

import pytest

from firefusion_assets.lineage import folds
from firefusion_assets.patchstore import PatchPart
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow


def test_a_train_part_is_measured_once_for_all_configs_of_each_fold(
    tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", TINY_STUDY + "split: {folds: 3}\n")
    measured: list[Any] = []

    def measure(train: PatchPart) -> Any:
        measured.append(train.ids)
        return real_measure(train)

    real_measure = folds.measure
    monkeypatch.setattr(folds, "measure", measure)
    defs = load_definitions(study)
    for key in TINY_CONFIGS:
        assert materialize(defs, key, to="augmented_lmdb").success
    lineage = lineage_of(study)
    all_folds = folds.read_folds(lineage)
    assert sorted(measured) == sorted(fold.train.ids for fold in all_folds)
    assert len([*(study / "artifacts" / "train_statistics").glob("*/statistics.json")]) == 3
    for fold in all_folds:
        patches = [fold.train.read(patch_id) for patch_id in fold.train.ids]
        statistics = fold.train.statistics
        assert len(measured) == 3, "reading it again measured it again"
        assert statistics.n_pixels == sum(int((~patch.ignore).sum()) for patch in patches)
        assert list(statistics.total) == [
            sum(int(patch.bands[band][~patch.ignore].sum()) for patch in patches)
            for band in range(len(statistics.bands))
        ]
        assert set(statistics.fire) == set(fold.table.index[fold.table["fire_pixels"] > 0]) & set(fold.train.ids)
