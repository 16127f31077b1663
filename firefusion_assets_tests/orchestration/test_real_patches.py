"""The same lineage on real Landsat-8 patches; far too few of them to measure quality."""

from pathlib import Path

import pandas as pd
import pytest

from firefusion_assets_tests.builders.real_data import REAL_STUDY, needs_patches
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = [pytest.mark.slow, needs_patches]

CONFIGS = {key: text.replace("[murphy]", "[]").replace("images: 6", "images: 3") for key, text in TINY_CONFIGS.items()}


def test_all_configs_run_on_three_real_bands(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "mini", REAL_STUDY.replace("BANDS", "bands: [B2, B6, B7]"), CONFIGS)
    defs = load_definitions(study)
    for key in ("baseline", "copy-paste"):
        assert materialize(defs, key, to="dice_metrics").success
    assert materialize(defs, "native").success
    lineage = lineage_of(study)
    assert lineage.find("landsat_patches", "_").facts["n_patches"] == 11
    assert lineage.find("landsat_patches", "_").facts["fire_pixels"] == 607 + 3 + 1 + 616 + 4 + 2
    for key in ("copy-paste", "native"):
        assert lineage.find("augmented_lmdb", key).facts["n_added"] == 3
    report = lineage.store.pointed("augmentation_report", "_")
    assert report is not None
    table = pd.read_csv(report.path / "comparison.csv").set_index("key")
    assert table.loc[list(CONFIGS), "status"].tolist() == ["current"] * 3
    html = (report.path / "report.html").read_text()
    assert "simulated" not in html.split("</ul>")[0].lower()


def test_all_ten_bands_get_as_far_as_their_number_allows(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "full", REAL_STUDY.replace("BANDS", "on_bad_input: fail"), CONFIGS)
    result = materialize(load_definitions(study), "native", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "mini__scene_split"
    message = str(failure.step_failure_data.user_failure_data)
    assert "too few groups: 2, at least 3" in message
    assert "too few groups with fire pixels: 1" in message
    facts = lineage_of(study).find("landsat_patches", "_").facts
    # Six patches hold three bands only: with all ten wanted they are fill everywhere.
    assert (facts["n_patches"], facts["n_empty_patches"]) == (5, 6)
