"""What there is of a study, as `status`, `check` and `report` tell it."""

import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firefusion_assets.cli.main import app
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.steps.overview import overview, prices, total, with_failures
from firefusion_assets.steps.patches import build_patches
from firefusion_assets.steps.status import AssetState, asset_state, study_status
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.rasters import write_activefire
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

CONFIGS = {"baseline": TINY_CONFIGS["baseline"], "copy-paste": TINY_CONFIGS["copy-paste"]}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study of two configs, of which one was run."""
    study = write_study(tmp_path_factory.mktemp("show") / "tiny", TINY_STUDY, CONFIGS)
    with pytest.MonkeyPatch.context() as patch:
        assert materialize(loaded(study, patch), "baseline").success
        yield study


def rows(printed: str) -> list[list[str]]:
    """Return the words of the table's rows."""
    return [
        line.split() for line in printed.splitlines() if " current " in f"{line} " or "ing " in line or "stale" in line
    ]


def states(study: Path) -> dict[tuple[str, str], str]:
    return {(state.key, state.asset): state.state for state in study_status(lineage_of(study))}


def test_a_new_study_misses_everything(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", configs=CONFIGS)
    assert set(states(study).values()) == {"missing"}
    assert len(states(study)) == 3 + 2 * (len(ASSETS) - 3)
    printed = firefusion("status", study=study)
    assert printed.endswith("\nTo make all current: firefusion run baseline copy-paste\n")
    assert "firefusion run KEY" in firefusion_refuses("report", study=study)


@pytest.mark.slow
def test_commands_in_messages_name_the_study_as_the_command_line_did(tmp_path: Path) -> None:
    study = write_study(tmp_path / "own")
    printed = firefusion("status", "--study", study)
    assert printed.endswith(f"\nTo make all current: firefusion run baseline copy-paste native --study {study}\n")
    refused = firefusion_refuses("export", "native", tmp_path / "out", "--study", study)
    assert refused.endswith(f"firefusion run native --study {study}\n")
    assert "--study" not in firefusion("status", study=study)


def test_a_command_without_a_study_says_that_it_is_about_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIREFUSION_STUDY", raising=False)
    monkeypatch.setenv("FIREFUSION_ARTIFACTS", str(tmp_path / "artifacts"))
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0 and "No study is named, so this is the demo" in result.stderr
    result = CliRunner().invoke(app, ["status", "--study", str(write_study(tmp_path / "own"))])
    assert result.exit_code == 0 and "demo" not in result.stderr


def test_what_was_made_is_current_until_settings_change(measured: Path) -> None:
    before = states(measured)
    assert {key for (key, _), state in before.items() if state == "current"} == {"", "baseline"}
    assert {state for (key, _), state in before.items() if key == "copy-paste"} == {"missing"}
    printed = firefusion("status", study=measured)
    dice = lineage_of(measured).find("dice_metrics", "baseline").facts["dice_micro"]
    assert ["baseline", "all", "current", f"{100 * dice:.1f}"] in [row[:4] for row in rows(printed)]
    assert "enough_tested warns" in printed, "fires of two groups are tested"
    assert printed.endswith("To make all current: firefusion run copy-paste\n")
    table = firefusion("report", study=measured)
    assert "copy-paste (missing)" in table and table.splitlines()[-1].startswith("Report: ")

    settings = (measured / "study.yaml").read_text()
    (measured / "study.yaml").write_text(settings.replace("steps: 6", "steps: 7"))
    try:
        after = states(measured)
        changed = {asset for (key, asset), state in after.items() if key != "copy-paste" and state == "stale"}
        assert changed == {"trained_unet", "dice_metrics", "augmentation_report"}
        state = asset_state(lineage_of(measured), "dice_metrics", "baseline")
        assert (state.why, state.command) == ("trained_unet changed", "firefusion run baseline")
        assert asset_state(lineage_of(measured), "trained_unet", "baseline").why == "training.steps: 6 -> 7"
        (measured / "study.yaml").write_text(settings.replace("seed: 3", "seed: 4"))
        assert asset_state(lineage_of(measured), "landsat_patches", "").why == "dataset.seed: 3 -> 4"
    finally:
        (measured / "study.yaml").write_text(settings)
    assert states(measured) == before


@pytest.mark.slow
def test_a_config_that_cant_be_read_is_a_state_and_not_the_end(measured: Path) -> None:
    config = measured / "augmentations" / "copy-paste.yaml"
    config.write_text("generator: {engine: copy-past}")
    try:
        printed = firefusion("status", study=measured)
        assert "invalid" in printed and str(config) in printed
        assert printed.endswith("To make all current: firefusion run baseline\n")  # the report, which leaves it out
    finally:
        config.write_text(CONFIGS["copy-paste"])


def test_new_and_missing_patches_are_counted(tmp_path: Path) -> None:
    text = (
        "name: e\ndataset: {source: activefire, images: images, masks: masks, patch_size: 16}\ntraining: {bands: [B7]}"
    )
    study = write_study(tmp_path / "study", text)
    write_activefire(study)
    build_patches(lineage_of(study), print)
    assert asset_state(lineage_of(study), "landsat_patches", "").state == "current"
    first, *_ = sorted((study / "images").iterdir())
    for number in (90, 91, 92):
        shutil.copy(first, first.with_name(f"{first.stem[:-5]}{number:05d}.tif"))
    sorted((study / "images").glob("*_p00002.tif"))[0].unlink()
    state = asset_state(lineage_of(study), "landsat_patches", "")
    assert (state.state, state.why) == ("stale", "the raw input has changed since: 3 new patches, 1 gone")


def test_what_is_due_costs_what_it_cost_before(tmp_path: Path) -> None:
    """Of three configs one is current, one stale and one was never made: own cost, and the mean of the others.

    What no config ever made counts with nothing.
    """
    lineage = lineage_of(write_study(tmp_path / "study"))
    costs = {"baseline": (3600.0, 1000), "copy-paste": (7200.0, 3000)}
    made = {}
    for key, (seconds, size) in costs.items():
        path = lineage.store.build(
            "trained_unet", key, lambda work, size=size: ((work / "w").write_bytes(bytes(size)), {})[1]
        )
        made[key] = replace(path, cost={"seconds": seconds, "gpu_seconds": seconds / 2})
    states = [
        AssetState("trained_unet", "baseline", "current", made["baseline"]),
        AssetState("trained_unet", "copy-paste", "stale", made["copy-paste"]),
        AssetState("trained_unet", "native", "missing"),
        AssetState("dice_metrics", "native", "missing"),
    ]
    assert prices(states) == [(0, 0, 0), (2, 1, 3000), (1.5, 0.75, 2000), (0, 0, 0)]
    assert total(prices(states)) == (2 + 1.5, 1 + 0.75, 3000 + 2000)
    assert total(prices(states[:1])) == (0, 0, 0)


def test_what_a_living_process_makes_runs_and_what_it_left_does_not(tmp_path: Path) -> None:
    """The whole of one config's object is made, a piece of another's, and an attempt at a third's was given up."""
    lineage = lineage_of(write_study(tmp_path / "study"))
    build_patches(lineage, print)

    def states() -> dict[str, str]:
        told = overview(lineage_of(lineage.folder), lambda: {("finetuned_model", "native"): (time.time(), "no fire")})
        return {state.key: state.state for state in told if state.asset == "finetuned_model"}

    def looked(work: Path) -> dict[str, dict[str, str]]:
        return {"states": states()}

    def given_up(work: Path) -> dict[str, str]:
        raise RuntimeError("given up")

    whole, part, left = (lineage.fingerprint("finetuned_model", key) for key in ("baseline", "copy-paste", "native"))
    with pytest.raises(RuntimeError, match="given up"):
        lineage.store.build("finetuned_model", left, given_up)
    made = lineage.store.build("fitted_models", f"{part}-fold-0", looked)
    assert made.facts["states"] == {"baseline": "missing", "copy-paste": "running", "native": "failed"}
    made = lineage.store.build("finetuned_model", whole, looked)
    assert made.facts["states"] == {"baseline": "running", "copy-paste": "missing", "native": "failed"}
    assert states() == {"baseline": "current", "copy-paste": "missing", "native": "failed"}


def test_a_failure_is_told_until_the_asset_is_made(tmp_path: Path) -> None:
    lineage = lineage_of(write_study(tmp_path / "study"))
    made = lineage.store.build("trained_unet", "f", lambda work: {})
    states = [
        AssetState("trained_unet", "baseline", "current", made),
        AssetState("trained_unet", "copy-paste", "stale", made, "steps: 6 -> 7"),
        AssetState("trained_unet", "native", "missing"),
    ]
    now = time.time() + 1
    early, late = ({("trained_unet", state.key): (at, "no fire") for state in states} for at in (1.0, now))
    assert [(one.state, one.why) for one in with_failures(states, late)] == [
        ("current", ""), ("failed", "no fire"), ("failed", "no fire"),
    ]  # fmt: skip
    assert [one.state for one in with_failures(states, early)] == ["current", "stale", "failed"]


def test_raw_input_that_changed_is_told(tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "study", "name: e\ndataset: {source: activefire, images: i, masks: m}\ntraining: {bands: [B7]}"
    )
    lineage = lineage_of(study)
    lineage.store.point(
        "landsat_patches",
        "_",
        lineage.store.build(
            "landsat_patches", lineage.raw_fingerprint("earlier"), lambda work: {"raw_input": "earlier"}
        ),
    )
    state = asset_state(lineage_of(study), "landsat_patches", "")
    assert state.state == "stale" and "can't be listed" in state.why and str(study / "i") in state.why


def test_check_tells_all_problems_at_once_and_counts_the_input(tmp_path: Path) -> None:
    printed = firefusion("check", study=write_study(tmp_path / "fine"))
    assert "3 configs: baseline, copy-paste, native" in printed
    assert "raw input: simulated scenes (" in printed and "scenes 6, patches_per_scene 4" in printed

    configs = {
        "a": "generator: {engine: native, crop: 48}\nsampling: {images: 1}",
        "b": "generator: {engine: files, images: painted}\nsampling: {images: 1}\nscreening: {detectors: []}",
        "c": "generator: {engine: nothing}",
        "d": "generator: {engine: stable-diffusion, base_model: ./nowhere}\nsampling: {images: 1}",
    }
    broken = write_study(tmp_path / "broken", TINY_STUDY.replace("steps: 6", "steps: 0"), configs)
    told = firefusion_refuses("check", study=broken)
    assert "study.yaml:4: training.steps" in told
    assert "c.yaml:1: generator" in told and "d.yaml: generator.base_model" in told

    misfits = write_study(tmp_path / "misfits", configs=configs)
    told = firefusion_refuses("check", study=misfits)
    assert "a.yaml:1: generator.crop: 48 px is larger than a patch" in told
    assert f"b.yaml: generator.images: {misfits / 'painted'}: there is no such folder" in told
    assert "c.yaml:1: generator" in told and "d.yaml: generator.base_model" in told
    files = [line.split(":")[0] for line in told.splitlines() if ".yaml" in line and line.startswith("/")]
    assert files == sorted(files) and len(set(files)) == 4, "problems are sorted by file"
    assert "Traceback" not in told and not (misfits / "artifacts").exists()


def test_check_lists_the_raw_input(tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "study",
        "name: e\ndataset: {source: activefire, images: i, masks: m}\ntraining: {bands: [B7]}",
        {"baseline": CONFIGS["baseline"]},
    )
    assert f"study.yaml: dataset: {study / 'i'}: there is no such folder" in firefusion_refuses("check", study=study)
    name = "LC08_L1TP_193029_20200914_20200914_01_RT"
    for folder, file in (("i", f"{name}_p00910.tif"), ("i", "wrong.tif"), ("m", f"{name}_v1_p00910.tif")):
        (study / folder).mkdir(exist_ok=True)
        (study / folder / file).write_bytes(b"II")
    (study / "i" / "photo.jpg").touch()
    told = firefusion_refuses("check", study=study)
    unread = f"1 files are no GeoTIFF and not read: {study / 'i' / 'photo.jpg'}"
    assert f"raw input: 1 patches, 0 of them without a mask; {unread}; 1 files can't be used" in told
    assert "1 problem:\n" in told and "wrong.tif" in told
    settings = study / "study.yaml"
    settings.write_text(settings.read_text().replace("masks: m", "masks: m, on_bad_input: skip"))
    assert "1 files can't be used\nNo problem found.\n" in firefusion("check", study=study)


def test_a_port_that_is_taken_is_told(measured: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port} can't be used" in firefusion_refuses(
            "report", "--serve", "--port", port, study=measured
        )
