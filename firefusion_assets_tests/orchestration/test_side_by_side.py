"""Studies live side by side: on one instance, in one UI, and below one folder of artifacts."""

import importlib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets_tests.builders.studies import (
    REPOSITORY,
    TINY_CONFIGS,
    TINY_STUDY,
    asset_key,
    lineage_job,
    lineage_of,
    loaded,
    write_study,
)

BASELINE = {"baseline": TINY_CONFIGS["baseline"]}


@pytest.mark.slow
def test_two_studies_on_one_instance_leave_each_other_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_study(tmp_path / "first", TINY_STUDY, BASELINE)
    second = write_study(
        tmp_path / "second",
        TINY_STUDY.replace("name: tiny", "name: burn-scars").replace("seed: 3", "seed: 4"),
        BASELINE,
    )
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        for study in (first, second):
            job = lineage_job(loaded(study, monkeypatch))
            assert job.execute_in_process(partition_key="baseline", instance=instance).success
        for folder, name in ((first, "tiny"), (second, "burn-scars")):
            event = instance.get_latest_materialization_event(asset_key("dice_metrics", name))
            assert event is not None and event.asset_materialization is not None
            assert event.asset_materialization.partition == "baseline"
            shown = event.asset_materialization.metadata["path"].value
            assert shown == str(lineage_of(folder).find("dice_metrics", "baseline").path)
        assert len(instance.all_asset_keys()) == 22


def test_below_one_folder_of_artifacts_each_study_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREFUSION_ARTIFACTS", str(tmp_path / "artifacts"))
    study = write_study(tmp_path / "study", TINY_STUDY, BASELINE)
    other = write_study(tmp_path / "other", TINY_STUDY.replace("name: tiny", "name: other"), BASELINE)
    assert open_lineage(study).store.root == tmp_path / "artifacts" / "tiny"

    # Earlier versions wrote into the folder itself.
    earlier = lineage_of(study, tmp_path / "artifacts")
    patches = earlier.store.build("landsat_patches", earlier.raw_fingerprint("raw"), lambda work: {"raw_input": "raw"})
    earlier.store.point("landsat_patches", "_", patches)
    assert open_lineage(study).store.root == tmp_path / "artifacts"
    assert open_lineage(other).store.root == tmp_path / "artifacts" / "other"


def test_the_workspace_shows_its_studies_under_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREFUSION_EXECUTOR", "in_process")
    locations = [
        entry["python_module"] for entry in yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"]
    ]
    assert len(locations) >= 2
    for location in locations:
        defs = getattr(importlib.import_module(location["module_name"]), location["attribute"])
        assert {key.path[0] for key in defs.resolve_asset_graph().get_all_asset_keys()} == {location["location_name"]}
        assert defs.resolve_job_def(f"{location['location_name']}_lineage")

    monkeypatch.setenv("FIREFUSION_STUDIES", str(tmp_path))
    write_study(tmp_path / "mine", TINY_STUDY.replace("name: tiny", "name: my-own"))
    studies = importlib.import_module("firefusion_assets.studies")
    assert studies.mine.resolve_job_def("my_own_lineage")
    with pytest.raises(AttributeError, match=r"demo: holds no study\.yaml; set FIREFUSION_STUDIES"):
        _ = studies.demo
