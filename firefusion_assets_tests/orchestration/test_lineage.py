"""The whole lineage in one process: what it publishes, what it finds again, and what makes it work anew."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml

from firefusion_assets.landsat.detectors import DETECTOR_BANDS
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.patchstore import Patches
from firefusion_assets.steps.overview import unmet_checks
from firefusion_assets.steps.serving import DOCS
from firefusion_assets.steps.status import study_status
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    LoadDefinitions,
    asset_key,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow

KEYS = list(TINY_CONFIGS)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose three configs have been run."""
    folder = write_study(tmp_path_factory.mktemp("lineage") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        defs = loaded(folder, patch)
        for key in KEYS[:-1]:
            assert materialize(defs, key, to="dice_metrics").success
        assert materialize(defs, KEYS[-1]).success
    return folder


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(f"tiny__{asset}")
    return {name: value.value for name, value in event.metadata.items()}


def manifests(study: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (study / "artifacts").glob("*/*/manifest.json")}


def test_every_config_runs_to_a_figure(study: Path, load_definitions: LoadDefinitions) -> None:
    defs = load_definitions(study)
    for key in KEYS:
        result = materialize(defs, key)
        assert result.success
        assert {check.asset_key.path[-1] for check in result.get_asset_check_evaluations()} >= {
            "landsat_patches", "scene_split", "synthetic_images", "screened_images", "augmented_lmdb", "dice_metrics",
        }  # fmt: skip
        assert all(check.passed for check in result.get_asset_check_evaluations() if check.blocking)
        lineage = lineage_of(study)
        for asset in ASSETS:
            (event,) = result.asset_materializations_for_node(f"tiny__{asset}")
            if asset != "augmentation_report":
                assert event.tags is not None
                assert event.tags["dagster/data_version"] == lineage.fingerprint(asset, key)
    report = metadata(result, "augmentation_report")
    table = pd.read_csv(Path(report["path"]) / "comparison.csv").set_index("key")
    assert table.index.tolist() == ["baseline", "copy-paste", "native", *DETECTOR_BANDS]
    assert table["status"].tolist() == ["current"] * len(table)
    assert "simulated" in (Path(report["path"]) / "report.html").read_text().lower()


def test_each_config_keeps_its_own_check_results_and_its_objects_tell_them_too(
    study: Path, load_definitions: LoadDefinitions
) -> None:
    defs, lineage = load_definitions(study), lineage_of(study)
    states = {(state.key, state.asset): unmet_checks(lineage, state) for state in study_status(lineage)}
    assert any(states.values()), "a tiny study has few groups to test on"
    for key in KEYS:
        unmet: dict[str, list[str]] = {}
        for check in materialize(defs, key).get_asset_check_evaluations():
            asset = check.asset_key.path[-1]
            assert check.partition == (key if ASSETS[asset].per_config else None), (asset, check.check_name)
            unmet.setdefault(asset, []).extend([] if check.passed else [f"{check.check_name} warns"])
        for asset, told in unmet.items():
            assert states[key if ASSETS[asset].per_config else "", asset] == told, (key, asset)


def test_a_second_run_finds_everything_finished(study: Path, load_definitions: LoadDefinitions) -> None:
    before = manifests(study)
    assert materialize(load_definitions(study), "native").success
    assert manifests(study) == before


def test_metadata_has_stable_names_and_a_small_picture(study: Path, load_definitions: LoadDefinitions) -> None:
    result = materialize(load_definitions(study), "native")
    screened = metadata(result, "screened_images")
    assert screened["n_images"] == 6 and 0 <= screened["accepted_share"] <= 1
    for asset in (
        "landsat_patches", "finetuned_model", "inpainting_masks", "synthetic_images", "screened_images", "trained_unet",
        "dice_metrics", "augmentation_report",
    ):  # fmt: skip
        picture = metadata(result, asset)["picture"]
        assert picture.startswith("![") and len(picture) < 130_000, asset
        preview = metadata(result, asset)["preview"]
        assert preview.startswith("[![") and f"/tiny/{asset}/" in preview and len(preview) < 1000, asset
    gallery = Path(screened["path"]) / "gallery.html"
    assert screened["gallery"].endswith(f"/screened_images/{gallery.parent.name}/gallery.html")
    assert gallery.read_text().count("<article") == screened["tried"] and screened["scores"].startswith("![")
    assert (
        0 <= screened["real_accepted_share"] <= 1
        and f"../../screened_images/{gallery.parent.name}/"
        in (Path(metadata(result, "augmentation_report")["path"]) / "report.html").read_text()
    )
    assert metadata(result, "inpainting_masks")["forms"].startswith("![")
    assert "peak_memory_gib" in metadata(result, "trained_unet")
    columns = {column.name for column in metadata(result, "screened_images")["dagster/column_schema"].columns}
    verdicts = lineage_of(study).find("screened_images", "native").path / "fold-0" / "replicate-0" / "verdicts.parquet"
    assert columns == set(pd.read_parquet(verdicts).columns)
    for asset in ASSETS:
        schema = metadata(result, asset).get("dagster/column_schema")
        unexplained = [column.name for column in schema.columns if not column.description] if schema else []
        assert not unexplained, asset
    report = metadata(result, "augmentation_report")
    assert len(report["verdict"]) < 1000 and "not decidable" in report["verdict"]
    assert report["report"].endswith("/report.html") and Path(report["report_file"]).is_file()


def test_each_asset_says_where_to_read_more(study: Path, load_definitions: LoadDefinitions) -> None:
    for spec in load_definitions(study).resolve_all_asset_specs():
        page = (spec.description or "").rpartition("/docs/")[2].rstrip(")")
        assert (DOCS / page).is_file() and page.endswith(".md"), spec.key


def test_the_overlay_holds_the_accepted_patches_and_nothing_changed_outside_the_edit(study: Path) -> None:
    import numpy as np

    lineage = lineage_of(study)
    base = lineage.find("landsat_patches", "_").path / "base.lmdb"
    real = Patches(base)
    for key in ("copy-paste", "native"):
        overlay = Patches(base, [lineage.find("augmented_lmdb", key).path / "overlay.lmdb"])
        synthetic = lineage.find("synthetic_images", key).path / "fold-0" / "replicate-0"
        plan = lineage.find("inpainting_masks", key).path / "fold-0" / "replicate-0"
        provenance = pd.read_parquet(synthetic / "provenance.parquet").set_index("synthetic_id")
        edits = np.unpackbits(np.load(plan / "edits.npy"), axis=-1).astype(bool)
        assert len(overlay.added_ids) == 6
        for patch_id in overlay.added_ids:
            row = provenance.loc[patch_id]
            place = provenance.index.get_loc(patch_id)
            background, painted = real.read(row["background"]), overlay.read(patch_id)
            outside = ~edits[place]
            np.testing.assert_array_equal(painted.bands[:, outside], background.bands[:, outside])
            np.testing.assert_array_equal(painted.label[outside], background.label[outside])
            assert (painted.bands[:, edits[place]] >= 1).all()
            assert row["crs"].startswith("EPSG:") and len(row["transform"]) == 6
            assert row["engine"] == key


def test_the_verdicts_tell_how_much_each_detector_sees(study: Path, load_definitions: LoadDefinitions) -> None:
    config = "extends: copy-paste\nscreening: {detectors: [murphy, schroeder, voting], min_detected: 0}"
    (study / "augmentations" / "votes.yaml").write_text(config)
    assert materialize(load_definitions(study), "votes").success
    lineage = lineage_of(study)
    rows = pd.read_parquet(
        lineage.find("screened_images", "votes").path / "fold-0" / "replicate-0" / "verdicts.parquet"
    )
    plan = pd.read_parquet(lineage.find("inpainting_masks", "votes").path / "fold-0" / "replicate-0" / "plan.parquet")
    (study / "augmentations" / "votes.yaml").unlink()
    for name in ("murphy", "schroeder", "voting"):
        assert (rows[f"{name}_pixels"] <= plan["label_pixels"].iloc[: len(rows)]).all()
    assert rows["murphy_pixels"].sum() > 0
    assert rows["detected_share"].sum() > 0


def test_two_doses_and_two_screenings_share_their_paint(study: Path, load_definitions: LoadDefinitions) -> None:
    (study / "augmentations" / "less.yaml").write_text("extends: native\nsampling: {images: 3, max_tries: 24}")
    (study / "augmentations" / "mask.yaml").write_text("extends: native\nscreening: {label: mask}")
    chunks = set((study / "artifacts" / "painted_chunks").glob("*/manifest.json"))
    models = set((study / "artifacts" / "finetuned_model").glob("*/manifest.json"))
    defs = load_definitions(study)
    assert materialize(defs, "less").success and materialize(defs, "mask").success
    assert set((study / "artifacts" / "painted_chunks").glob("*/manifest.json")) == chunks
    assert set((study / "artifacts" / "finetuned_model").glob("*/manifest.json")) == models
    lineage = lineage_of(study)
    few, many = (
        pd.read_parquet(lineage.find("screened_images", key).path / "fold-0" / "replicate-0" / "verdicts.parquet")
        for key in ("less", "native")
    )
    accepted = [table.loc[table["accepted"], "synthetic_id"].tolist() for table in (few, many)]
    assert accepted[0] == accepted[1][:3]
    for key in ("less", "mask"):
        (study / "augmentations" / f"{key}.yaml").unlink()


def test_the_report_shows_stale_missing_invalid_and_orphaned_configs(
    study: Path, load_definitions: LoadDefinitions
) -> None:
    configs = study / "augmentations"
    kept = {file: file.read_text() for file in configs.glob("*.yaml")}
    (configs / "copy-paste.yaml").write_text(kept[configs / "copy-paste.yaml"].replace("images: 6", "images: 5"))
    (configs / "broken.yaml").write_text("generator: {engine: magic}")
    (configs / "new.yaml").write_text(kept[configs / "copy-paste.yaml"].replace("images: 6", "images: 2"))
    result = materialize(load_definitions(study), "baseline")
    path = Path(metadata(result, "augmentation_report")["path"])
    table = pd.read_csv(path / "comparison.csv").set_index("key")
    # `native` extends copy-paste, so it is stale too.
    assert table["status"].drop([*DETECTOR_BANDS]).to_dict() == {
        "baseline": "current", "broken": "invalid", "copy-paste": "stale", "native": "stale", "new": "missing",
    }  # fmt: skip
    html = (path / "report.html").read_text()
    assert "firefusion run copy-paste --study FOLDER" in html and "magic" in html and "mask" in html
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "all_current"]
    assert not check.passed and not check.blocking
    for file in configs.glob("*.yaml"):
        file.unlink()
    for file, text in kept.items():
        file.write_text(text)


def test_a_run_for_a_broken_config_stops_before_any_work(study: Path, load_definitions: LoadDefinitions) -> None:
    broken = study / "augmentations" / "broken.yaml"
    broken.write_text("generator: {engine: native, crap: 3}\nsampling: {images: 1}")
    defs = load_definitions(study)
    result = materialize(defs, "broken", raise_on_error=False)
    broken.unlink()
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    assert {event.step_key for event in failures} == {"tiny__landsat_patches", "tiny__augmentation_config"}
    for event in failures:
        text = str(event.step_failure_data.user_failure_data)
        assert "broken.yaml:1: generator.crap: unknown key; did you mean crop?" in text


def test_an_asset_whose_upstream_was_made_from_other_settings_says_what_to_do(
    study: Path, load_definitions: LoadDefinitions
) -> None:
    file = study / "augmentations" / "native.yaml"
    text = file.read_text()
    file.write_text(text.replace("steps: 6", "steps: 7"))
    defs = load_definitions(study)
    result = dg.materialize(
        [defs.resolve_assets_def(asset_key("synthetic_images"))],
        partition_key="native",
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )
    file.write_text(text)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    message = str(failure.step_failure_data.user_failure_data)
    assert "finetuned_model of 'native' was made from other settings" in message
    assert "make it first: firefusion run native" in message


def test_the_resolved_config_is_published(study: Path) -> None:
    path = lineage_of(study).find("augmentation_config", "native").path
    config = yaml.safe_load((path / "config.yaml").read_text())
    assert config["generator"]["engine"] == "native" and config["sampling"]["images"] == 6
    assert json.loads((path / "manifest.json").read_text())["facts"]["engine"] == "native"
