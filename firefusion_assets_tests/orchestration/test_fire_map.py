"""Fire maps from the launchpad: the job maps with the networks of a config, and each scene is a materialization."""

from pathlib import Path

import dagster as dg
import geopandas as gpd
import pytest

from firefusion_assets_tests.builders.burning_products import burning_planes
from firefusion_assets_tests.builders.products import COLLECTION_2, write_product
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TWO_REPLICATES,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = write_study(
        tmp_path_factory.mktemp("map") / "study", TWO_REPLICATES, {"baseline": TINY_CONFIGS["baseline"]}
    )
    write_product(study / "scenes", COLLECTION_2, burning_planes(COLLECTION_2))
    return study


def run(defs: dg.Definitions, model: str, *scenes: str) -> dg.ExecuteInProcessResult:
    config = {"ops": {"map_fires": {"config": {"model": model, "scenes": list(scenes)}}}}
    return defs.resolve_job_def("tiny_fire_map").execute_in_process(run_config=config, raise_on_error=False)


def test_a_scene_is_mapped_by_all_networks_of_a_config_or_by_one(
    study: Path, load_definitions: LoadDefinitions
) -> None:
    defs = load_definitions(study)
    assert materialize(defs, "baseline").success
    for model, networks in (("baseline", 2), ("baseline/fold-0/replicate-1", 1)):
        result = run(defs, model, "scenes")
        assert result.success
        (event,) = [event for event in result.all_events if event.is_step_materialization]
        made = event.materialization
        assert (made.asset_key, made.partition) == (dg.AssetKey(["tiny", "fire_map"]), COLLECTION_2)
        assert made.metadata["networks"].value == networks
        folder = study / "maps" / COLLECTION_2
        assert made.metadata["path"].value == str(folder)
        assert made.metadata["fires"].value == len(gpd.read_file(folder / "fires.gpkg"))


@pytest.mark.parametrize(
    ("model", "scene", "reason"),
    [
        ("nothing", "scenes", "there is no such augmentation config"),
        ("baseline/fold-7", "scenes", "holds no trained network"),
        ("baseline", "nowhere", "there is no such file or folder"),
    ],
)
def test_a_mistake_is_one_clear_failure(
    study: Path, load_definitions: LoadDefinitions, model: str, scene: str, reason: str
) -> None:
    defs = load_definitions(study)
    if lineage_of(study).store.pointed("trained_unet", "baseline") is None:
        assert materialize(defs, "baseline").success
    result = run(defs, model, scene)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert reason in str(failure.step_failure_data.user_failure_data)
