"""Pruning takes what no config uses, and nothing that a later run would have to make again."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from firefusion_assets.artifacts.store import ArtifactStore, link
from firefusion_assets.cli import stores
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.steps import prune
from firefusion_assets.study import StudyError
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

PIECES = {
    "fitted_models": "finetuned_model", "painted_replicates": "synthetic_images",
    "trained_networks": "trained_unet", "scored_networks": "dice_metrics",
}  # fmt: skip


def unused(study: Path) -> set[str]:
    """Return what would be removed, as paths below the artifacts."""
    folders = prune.unused_folders(lineage_of(study))
    return {folder.relative_to(study / "artifacts").as_posix() for folder in folders}


def objects(study: Path) -> set[str]:
    manifests = (study / "artifacts").glob("*/[!.]*/manifest.json")
    return {manifest.parent.relative_to(study / "artifacts").as_posix() for manifest in manifests}


def disk_usage(study: Path) -> int:
    """Bytes that the files of objects and attempts take on disk, each inode once."""
    files = [Path(folder, name) for folder, _, names in os.walk(study / "artifacts") for name in names]
    stats = [file.lstat() for file in files if not {"keys", ".locks"} & {*file.parts}]
    return sum({stat.st_ino: stat.st_blocks * 512 for stat in stats}.values())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with two configs; what is in its store was put there by hand."""
    return write_study(tmp_path / "study", configs=dict.fromkeys(("baseline", "other"), "generator: {engine: none}"))


def put(study: Path, asset: str, name: str, *keys: str, size: int = 5000) -> Path:
    """Make an object of one file and point keys at it."""
    store = ArtifactStore(study / "artifacts")

    def make(work: Path) -> Mapping[str, Any]:
        (work / "painted.npy").write_bytes(name.encode() * size)
        return {}

    artifact = store.build(asset, name, make)
    for key in keys:
        store.point(asset, key, artifact)
    return artifact.path


def paint(study: Path, name: str, chunk: Path, *keys: str) -> Path:
    """Make a painted object out of a chunk and point keys at it."""
    store = ArtifactStore(study / "artifacts")

    def make(work: Path) -> Mapping[str, Any]:
        assert store.find("painted_chunks", chunk.name)
        link(chunk / "painted.npy", work / "fold-0" / "chunk-00000.npy")
        return {}

    artifact = store.build("synthetic_images", name, make)
    for key in keys:
        store.point("synthetic_images", key, artifact)
    return artifact.path


def test_an_object_is_used_as_long_as_a_key_with_a_config_points_at_it(study: Path) -> None:
    put(study, "trained_unet", "shared", "baseline", "other")
    put(study, "trained_unet", "gone", "gone")
    put(study, "trained_unet", "replaced", "baseline")
    put(study, "trained_unet", "new", "baseline")
    put(study, "augmentation_report", "report", "_")
    put(study, "augmentation_report", "older")
    put(study, "something_else", "unknown")
    assert unused(study) == {"trained_unet/gone", "trained_unet/replaced", "augmentation_report/older"}
    assert [path.stem for path in prune.unused_pointers(lineage_of(study))] == ["gone"]
    (study / "augmentations" / "other.yaml").unlink()
    assert "trained_unet/shared" in unused(study)


def test_a_chunk_is_used_as_long_as_a_painted_object_in_use_holds_it(study: Path) -> None:
    first, second, third = (put(study, "painted_chunks", name) for name in ("first", "second", "third"))
    paint(study, "live", first, "baseline")
    paint(study, "dead", second, "gone")
    assert unused(study) == {"synthetic_images/dead", "painted_chunks/second", "painted_chunks/third"}
    (study / "artifacts" / "synthetic_images" / ".work" / "going-on").mkdir(parents=True)
    with FileLock(study / "artifacts" / "synthetic_images" / ".locks" / "going-on"):
        assert unused(study) == {"synthetic_images/dead"}
    assert third.is_dir()


def test_what_an_object_of_an_earlier_version_may_use_stays(study: Path) -> None:
    put(study, "painted_chunks", "of-some-object")
    painted = put(study, "synthetic_images", "older", "baseline")
    assert unused(study) == {"painted_chunks/of-some-object"}
    manifest = json.loads((painted / "manifest.json").read_text())
    del manifest["uses"]
    (painted / "manifest.json").write_text(json.dumps(manifest))
    assert unused(study) == set()


def test_shared_objects_stay_while_nothing_can_tell_which_are_used(study: Path) -> None:
    for asset in ("made_scenes", "detector_scores"):
        put(study, asset, "of-some-settings")
    assert unused(study) == set()


def test_what_a_process_is_making_is_left_alone(study: Path) -> None:
    base = study / "artifacts" / "trained_unet"
    for name in ("running", "killed"):
        (base / ".work" / name).mkdir(parents=True)
    (base / ".locks").mkdir()
    (base / ".locks" / "killed").touch()
    with FileLock(base / ".locks" / "running"):
        assert unused(study) == {"trained_unet/.work/killed"}
        assert not prune.remove(base / ".work" / "running")
        assert prune.remove(base / ".work" / "killed")
    assert [path.name for path in (base / ".work").iterdir()] == ["running"]


def test_linked_files_count_once_and_only_if_no_name_is_left(study: Path) -> None:
    chunk, kept = (put(study, "painted_chunks", name, size=50_000) for name in ("chunk", "kept"))
    folders = [chunk, paint(study, "one", chunk), paint(study, "two", chunk), paint(study, "three", kept)]
    before = disk_usage(study)
    freed = sum(prune.freed_bytes(folders).values())
    assert all(prune.remove(folder) for folder in folders)
    assert freed == before - disk_usage(study)
    assert 5 * 50_000 <= freed < 2 * 5 * 50_000
    assert (kept / "painted.npy").is_file()


def test_what_an_interrupted_removal_left_is_removed_too(study: Path) -> None:
    put(study, "trained_unet", "again", "baseline")
    left = study / "artifacts" / "trained_unet" / ".pruned" / "again"
    left.mkdir(parents=True)
    assert unused(study) == {"trained_unet/.pruned/again"}
    assert prune.remove(left)
    assert unused(study) == set()
    assert objects(study) == {"trained_unet/again"}


def test_nothing_is_removed_while_a_config_cant_be_read(study: Path) -> None:
    put(study, "trained_unet", "dead")
    for key in ("baseline", "other"):
        (study / "augmentations" / f"{key}.yaml").write_text("generator: {engine: wrong}")
    with pytest.raises(StudyError):
        prune.unused_folders(lineage_of(study))
    refusal = firefusion_refuses("prune", "--yes", study=study)
    assert re.search(r"(?s)baseline\.yaml.*other\.yaml.*is unknown", refusal)
    (study / "study.yaml").write_text("name: 3")
    assert firefusion_refuses("prune", "--yes", study=study).count("training: missing") == 1
    assert objects(study) == {"trained_unet/dead"}


@pytest.mark.parametrize(("answer", "removed"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_removes_only_after_a_yes(study: Path, answer: str, removed: bool) -> None:
    put(study, "trained_unet", "live", "baseline")
    put(study, "trained_unet", "dead", "gone")
    listed = (firefusion if removed else firefusion_refuses)("prune", study=study, answer=answer)
    assert removed or "Nothing was removed" in listed
    assert "trained_unet/dead" in listed and "trained_unet/live" not in listed and "pointers of gone" in listed
    assert objects(study) == {"trained_unet/live", *(() if removed else ("trained_unet/dead",))}
    assert ArtifactStore(study / "artifacts").keys("trained_unet") == ["baseline", *(() if removed else ("gone",))]


def test_what_came_into_use_while_the_question_stood_stays(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(study, "trained_unet", "dead", "baseline")
    put(study, "trained_unet", "now", "baseline")

    def run_meanwhile() -> bool:
        put(study, "trained_unet", "dead", "other")
        return True

    monkeypatch.setattr(stores, "_confirmed", run_meanwhile)
    firefusion("prune", study=study)
    assert objects(study) == {"trained_unet/dead", "trained_unet/now"}


def test_a_store_in_full_use_asks_nothing(study: Path) -> None:
    put(study, "trained_unet", "live", "baseline")
    assert "is in use" in firefusion("prune", study=study)


@pytest.fixture(scope="module")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, pytest.MonkeyPatch]]:
    """A study whose two configs, of one model and different masks, have been run."""
    configs = {
        "copy-paste": TINY_CONFIGS["copy-paste"],
        "gone": "extends: copy-paste\nmasks: {kind: box}\nsampling: {images: 2}",
    }
    study = TINY_STUDY.replace("scenes: 6", "scenes: 4")
    folder = write_study(tmp_path_factory.mktemp("prune") / "tiny", study, configs)
    with pytest.MonkeyPatch.context() as patch:
        run_all(folder, patch, *configs)
        yield folder, patch


def run_all(study: Path, patch: pytest.MonkeyPatch, *keys: str) -> None:
    defs = loaded(study, patch)
    assert all(materialize(defs, key).success for key in keys)


def todays(study: Path, key: str) -> set[str]:
    """Return the objects that a key's settings name."""
    lineage = lineage_of(study)
    return {f"{asset}/{lineage.fingerprint(asset, key)}" for asset in ASSETS if asset != "augmentation_report"}


@pytest.mark.slow
def test_a_run_after_pruning_finds_everything_finished(materialized: tuple[Path, pytest.MonkeyPatch]) -> None:
    study, patch = materialized
    copy_paste = study / "augmentations" / "copy-paste.yaml"
    earlier, settings, gone = todays(study, "copy-paste"), copy_paste.read_text(), todays(study, "gone")
    (study / "augmentations" / "gone.yaml").unlink()
    # Another screening needs another painted object, of the same chunks.
    changed = settings.replace("min_detected: 0", "min_detected: 0, min_changed: 0.01")
    copy_paste.write_text(changed)
    run_all(study, patch, "copy-paste")
    later = todays(study, "copy-paste")
    assert len(earlier - later) > 3 and len(gone - earlier) > 3

    # What settings named earlier stays while they are today's again, beside what the pointers name.
    copy_paste.write_text(settings)
    assert not unused(study) & (earlier | later)
    copy_paste.write_text(changed)
    dead = (earlier | gone) - later
    pieces = {name for name in unused(study) if name.partition("/")[0] in PIECES}
    others = {name for name in unused(study) if "chunks" not in name and "report" not in name}
    assert others - pieces == dead
    # The pieces of dead objects, and no others, are dead too.
    assert {f"{PIECES[name.partition('/')[0]]}/{name.partition('/')[2].partition('-')[0]}" for name in pieces} == {
        name for name in dead if name.partition("/")[0] in PIECES.values()
    }

    store = ArtifactStore(study / "artifacts")
    for asset in ("made_scenes", "detector_scores"):
        current = {name for name in objects(study) if name.startswith(asset)}
        store.build(asset, "of-other-settings", lambda work: {})
        assert f"{asset}/of-other-settings" in unused(study)
        assert current and not current & unused(study)

    freed, usage = sum(prune.freed_bytes(prune.unused_folders(lineage_of(study))).values()), disk_usage(study)
    firefusion("prune", "--yes", study=study)
    assert freed == usage - disk_usage(study) > 0
    assert unused(study) == set()
    assert {path.stem for path in (study / "artifacts").glob("*/keys/*.json")} == {"_", "copy-paste"}
    chunks = {manifest["files"]["painted.npy"]["sha256"] for manifest in manifests(study, "painted_chunks")}
    (painted,) = manifests(study, "synthetic_images")
    assert chunks == {entry["sha256"] for name, entry in painted["files"].items() if "/chunk-" in name} != set()

    after = objects(study)
    run_all(study, patch, "copy-paste")
    # Only the report is another one: it no longer speaks of the config that is gone.
    assert {name.partition("/")[0] for name in objects(study) - after} <= {"augmentation_report"}
    assert after <= objects(study)

    # A painting that was cut short keeps the chunks that it has, until its settings change.
    finished = lineage_of(study).find("synthetic_images", "copy-paste").path
    (finished / "manifest.json").unlink()
    finished.rename(finished.parent / ".work" / finished.name)
    assert not any(name.startswith(("synthetic_images", "painted_chunks")) for name in unused(study))
    copy_paste.write_text(settings.replace("images: 6", "images: 5"))
    assert f"synthetic_images/.work/{finished.name}" in unused(study)
    assert any(name.startswith("painted_chunks") for name in unused(study))


def manifests(study: Path, asset: str) -> list[dict[str, Any]]:
    """Return the manifests of an asset's objects."""
    return [json.loads(path.read_text()) for path in (study / "artifacts" / asset).glob("[!.]*/manifest.json")]
