"""Whatever is damaged in the store is noticed by the next run and made again, byte for byte."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from firefusion_assets.artifacts.damage import DAMAGED
from firefusion_assets.lineage.assets import ASSETS, REPORT
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.studies import LoadDefinitions, lineage_of, loaded, materialize, write_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which `native` has been run."""
    folder = write_study(tmp_path_factory.mktemp("damage") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        assert materialize(loaded(folder, patch), "native").success
    return folder


def published(study: Path) -> dict[str, Any]:
    """What each object's manifest says of its files; of a report, which tells how long all took, only their names."""
    store = study / "artifacts"
    found = {
        str(path.parent.relative_to(store)): json.loads(path.read_text())["files"]
        for path in store.glob("[!.]*/[!.]*/manifest.json")
    }
    return {place: files if REPORT not in place else [*files] for place, files in found.items()}


def set_aside(study: Path) -> int:
    return len(list((study / "artifacts" / DAMAGED).glob("*")))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_in_each_kind_of_file_heals(study: Path, load_definitions: LoadDefinitions) -> None:
    before, kinds, flipped = published(study), set[tuple[str, str]](), dict[int, Path]()
    for place, files in before.items():
        for name in files:
            kind, path = (place.split("/")[0], Path(name).suffix), study / "artifacts" / place / name
            if kind not in kinds and path.stat().st_ino not in flipped:  # two names of one file would flip it back
                flip(path)
                flipped[path.stat().st_ino] = path
            kinds.add(kind)
    assert {asset for asset, _ in kinds} >= {
        *ASSETS, "painted_chunks", "train_statistics", "made_scenes", "fitted_models", "painted_replicates",
        "trained_networks", "scored_networks",
    }  # fmt: skip
    healed = materialize(load_definitions(study), "native")
    assert healed.success
    assert published(study) == before and set_aside(study) >= len(ASSETS)
    answers, told = damage_checks(healed)
    assert set(answers) == set(ASSETS)
    assert not any(answers.values())  # of each asset some object was damaged
    assert [str(path) for path in flipped.values() if f"{path}: changed since it was published" not in told] == []
    for place in before:
        assert lineage_of(study).store.find(*place.split("/"), whole=True) is not None, place


def damage_checks(result: dg.ExecuteInProcessResult) -> tuple[dict[str, bool], str]:
    """Which assets' steps found everything intact, and what the others say."""
    checks = [one for one in result.get_asset_check_evaluations() if one.check_name == "nothing_damaged"]
    assert {one.severity for one in checks} == {dg.AssetCheckSeverity.WARN}
    told = [str(one.metadata["damages"].value) for one in checks if not one.passed]
    return {one.asset_key.path[-1]: one.passed for one in checks}, "\n".join(told)


def test_manifests_and_pointers_that_cannot_be_read_heal(study: Path, load_definitions: LoadDefinitions) -> None:
    before, store = published(study), study / "artifacts"
    aside = set_aside(study)
    broken = [*store.glob("[!.]*/[!.]*/manifest.json"), *store.glob("*/keys/*.json")]
    for number, path in enumerate(broken):
        path.write_bytes([b"", b"{", b"[]", b"\xff\xfe", b'{"facts": 3}'][number % 5])
    assert materialize(load_definitions(study), "native").success
    assert published(study) == before and set_aside(study) >= aside + len(ASSETS)
    again = materialize(load_definitions(study), "native")
    assert again.success and published(study) == before
    assert damage_checks(again) == (dict.fromkeys(ASSETS, True), "")


def test_verify_goes_over_everything_and_tells_what_run_makes_again(study: Path) -> None:
    whole = f"{len(published(study))} objects in {study / 'artifacts'}: every file is as it was"
    assert whole in firefusion("verify", study=study)
    weights = next((study / "artifacts" / "trained_unet").glob("[!.]*/fold-0/replicate-0/network.safetensors"))
    flip(weights)
    told = firefusion_refuses("verify", study=study)
    assert f"{weights}: changed since it was published. Moved to" in told and "firefusion run KEY" in told
    state = firefusion("status", study=study)
    assert "trained_unet" in state and "missing" in state
