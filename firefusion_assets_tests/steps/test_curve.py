"""The curve of scarcity puts the figures of several reports side by side."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.studies import (
    TINY_STUDY,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow


def test_dice_over_burning_patches_is_that_of_the_reports(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    base = write_study(tmp_path / "base")
    (tmp_path / "scarce").mkdir()
    (tmp_path / "scarce" / "study.yaml").write_text("name: scarce\nextends: ../base\nsplit: {train_fire_patches: 2}\n")
    for study in (base, tmp_path / "scarce"):
        defs = load_definitions(study)
        assert materialize(defs, "baseline", to="dice_metrics").success and materialize(defs, "copy-paste").success
    printed = firefusion("curve", base, tmp_path / "scarce", "--output", tmp_path / "curve.png", study=base)
    assert printed.splitlines() == [str(tmp_path / "curve.png"), str(tmp_path / "curve.csv")]
    with Image.open(tmp_path / "curve.png") as image:
        assert image.width > 800
    rows = pd.read_csv(tmp_path / "curve.csv").set_index(["study", "key"])
    assert sorted(rows.index) == [(name, key) for name in ("scarce", "tiny") for key in ("baseline", "copy-paste")]
    for study, name in ((base, "tiny"), (tmp_path / "scarce", "scarce")):
        lineage = lineage_of(study)
        split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
        burning = split[(split["part"] == "train") & (split["fire_pixels"] > 0)]
        assert rows.loc[name, "fire_patches"].tolist() == [len(burning)] * 2
        report = lineage.store.pointed("augmentation_report", "_")
        assert report is not None
        table = pd.read_csv(report.path / "comparison.csv").set_index("key")
        for key in ("baseline", "copy-paste"):
            assert rows.loc[(name, key), "dice_mean"] == pytest.approx(table.loc[key, "dice_mean"], nan_ok=True)
    assert rows.loc["scarce", "fire_patches"].max() == 2 < rows.loc["tiny", "fire_patches"].min()
    alone = firefusion_refuses("curve", base, "--output", tmp_path / "other.png", study=base)
    assert "name studies that differ in split.train_fire_patches" in alone and not (tmp_path / "other.png").exists()


def test_a_study_without_a_report_is_told(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", TINY_STUDY)
    assert "has not been made" in firefusion_refuses("curve", study, "--output", tmp_path / "c.png", study=study)
