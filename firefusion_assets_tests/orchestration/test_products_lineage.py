"""The whole lineage from level-1 products, real and simulated."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.patchstore import Patches
from firefusion_assets_tests.builders.burning_products import SIX_PRODUCTS, fires, write_six_products
from firefusion_assets_tests.builders.commands import cli_command, cli_environment, run_cli_at_once
from firefusion_assets_tests.builders.real_data import REAL_PRODUCT, needs_product
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    LoadDefinitions,
    asset_key,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow


STUDY = """
name: products
dataset: {source: landsat, products: PRODUCTS, patch_size: SIZE}
training: {bands: [B7, B6, B2], filters: 2, steps: 4, batch_size: 4, validate_every: 2}
replicates: {count: 1}
"""
CONFIGS = {key: TINY_CONFIGS[key] for key in ("baseline", "copy-paste")}


PATCHES = asset_key("landsat_patches", "products")


def product_study(folder: Path, products: Path | str = "products", size: int = 32) -> Path:
    text = STUDY.replace("PRODUCTS", str(products)).replace("SIZE", str(size))
    return write_study(folder, text, CONFIGS)


def only_patches(defs: dg.Definitions) -> dg.ExecuteInProcessResult:
    asset = defs.resolve_assets_def(PATCHES)
    return dg.materialize([asset], instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)


@needs_product
def test_one_real_product_gets_as_far_as_its_split(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = product_study(tmp_path / "real", REAL_PRODUCT, 256)
    result = materialize(load_definitions(study), "baseline", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "products__scene_split"
    message = str(failure.step_failure_data.user_failure_data)
    assert "too few groups: 1, at least 3" in message and "no fire pixel in the whole data set" in message
    facts = lineage_of(study).find("landsat_patches", "_").facts
    assert (facts["n_patches"], facts["fire_pixels"], facts["n_bad_files"]) == (9, 0, 0)
    (made,) = [event for event in result.get_asset_materialization_events() if event.asset_key == PATCHES]
    metadata = made.materialization.metadata
    assert metadata["usable_backgrounds"].value == "0 of 9 patches"
    rejected = {record.data["patch"]: record.data["reason"] for record in metadata["rejected_backgrounds"].records}
    assert rejected["p00001"] == "not clear: 43.0% by quality band (cloud 10.5%, cirrus 42.5%), allowed 20.0%"
    assert rejected["p00009"] == "fill: 84.0%, allowed 50.0%"


def test_six_products_of_all_generations_run_to_a_figure(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = product_study(tmp_path / "study")
    write_six_products(study / "products")
    defs = load_definitions(study)
    for key in CONFIGS:
        result = materialize(defs, key)
        assert result.success
        assert all(check.passed for check in result.get_asset_check_evaluations() if check.blocking)
    lineage = lineage_of(study)
    data = lineage.find("landsat_patches", "_")
    assert (data.facts["n_scenes"], data.facts["fire_pixels"]) == (len(SIX_PRODUCTS), len(SIX_PRODUCTS) * fires().sum())
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    assert split["group"].nunique() == len(SIX_PRODUCTS)
    assert set(split.loc[split["fire_pixels"] > 0, "part"]) == {"train", "val", "test"}
    assert lineage.find("augmented_lmdb", "copy-paste").facts["n_added"] == 6
    report = lineage.store.pointed("augmentation_report", "_")
    assert report is not None
    table = pd.read_csv(report.path / "comparison.csv").set_index("key")
    assert table.loc[list(CONFIGS), "status"].tolist() == ["current"] * 2
    html = (report.path / "report.html").read_text()
    assert "labels are made by detectors (voting)" in html and "simulated" not in html.split("</ul>")[0].lower()


def test_ground_that_nothing_can_be_painted_on_is_told_before_the_model_is_fitted(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    study = product_study(tmp_path / "study", size=96)  # larger than a product: one patch each, a third of it fill
    write_six_products(study / "products")
    with (study / "study.yaml").open("a") as file:
        file.write("backgrounds: {max_fill: 0.1}\n")
    result = materialize(load_definitions(study), "copy-paste", raise_on_error=False)
    failures = {event.step_key: event for event in result.all_events if event.is_step_failure}
    assert "products__finetuned_model" in failures
    message = str(failures["products__finetuned_model"].step_failure_data.user_failure_data)
    assert "can be painted on (fill 4); add scenes, or loosen" in message


def test_a_damaged_tar_stops_with_its_name_or_is_left_out(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = product_study(tmp_path / "study")
    tar = write_six_products(study / "products")[2]
    tar.write_bytes(tar.read_bytes()[:30_000])
    result = only_patches(load_definitions(study))
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    message = str(failure.step_failure_data.user_failure_data)
    assert f"{tar}: is damaged or no tar" in message and "on_bad_input: skip" in message
    lineage = lineage_of(study)
    assert lineage.store.pointed("landsat_patches", "_") is None
    text = (study / "study.yaml").read_text()
    (study / "study.yaml").write_text(text.replace("patch_size", "on_bad_input: skip, patch_size"))
    result = only_patches(load_definitions(study))
    data = Lineage(study, lineage.store).find("landsat_patches", "_")
    assert (data.facts["n_scenes"], data.facts["n_bad_files"]) == (5, 1)
    assert not any("030031" in patch_id for patch_id in Patches(data.path / "base.lmdb").base_ids)
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "no_bad_files"]
    assert not check.passed and not check.blocking


def test_two_processes_that_ingest_the_same_study_at_once_make_it_once(tmp_path: Path) -> None:
    study = product_study(tmp_path / "study")
    write_six_products(study / "products")
    command = cli_command("dagster", "asset", "materialize", "-m", "firefusion_assets.definitions")
    homes = (cli_environment(study, tmp_path / f"home-{number}") for number in range(2))
    outputs = run_cli_at_once([*command, "--select", "products/landsat_patches,products/scene_split"], *homes)
    assert sum("product 6 of 6" in output for output in outputs) == 1
    lineage = lineage_of(study)
    data = lineage.find("landsat_patches", "_")
    assert not lineage.store.damages(data, contents=True)
    assert not list((study / "artifacts" / "landsat_patches" / ".work").iterdir())
