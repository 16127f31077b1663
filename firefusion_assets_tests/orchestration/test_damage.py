"""Whatever is damaged in the store is noticed by the next run and made again, byte for byte."""

import json
from pathlib import Path
from typing import Any

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
    before, kinds, flipped = published(study), set[tuple[str, str]](), set[int]()
    for place, files in before.items():
        for name in files:
            kind = place.split("/")[0], Path(name).suffix
            if kind not in kinds:
                kinds.add(kind)
                path = study / "artifacts" / place / name
                if (inode := path.stat().st_ino) not in flipped:  # a second flip of a linked file would heal it
                    flipped.add(inode)
                    flip(path)
    assert {asset for asset, _ in kinds} >= {
        *ASSETS, "painted_chunks", "train_statistics", "made_scenes", "fitted_models", "painted_replicates",
        "trained_networks", "scored_networks",
    }  # fmt: skip
    assert materialize(load_definitions(study), "native").success
    assert published(study) == before and set_aside(study) >= len(ASSETS)
    for place in before:
        assert lineage_of(study).store.find(*place.split("/"), whole=True) is not None, place


def test_manifests_and_pointers_that_cannot_be_read_heal(study: Path, load_definitions: LoadDefinitions) -> None:
    before, store = published(study), study / "artifacts"
    aside = set_aside(study)
    broken = [*store.glob("[!.]*/[!.]*/manifest.json"), *store.glob("*/keys/*.json")]
    for number, path in enumerate(broken):
        path.write_bytes([b"", b"{", b"[]", b"\xff\xfe", b'{"facts": 3}'][number % 5])
    assert materialize(load_definitions(study), "native").success
    assert published(study) == before and set_aside(study) >= aside + len(ASSETS)
    assert materialize(load_definitions(study), "native").success
    assert published(study) == before


def test_verify_goes_over_everything_and_tells_what_run_makes_again(study: Path) -> None:
    whole = f"{len(published(study))} objects in {study / 'artifacts'}: every file is as it was"
    assert whole in firefusion("verify", study=study)
    weights = next((study / "artifacts" / "trained_unet").glob("[!.]*/fold-0/replicate-0/network.safetensors"))
    flip(weights)
    told = firefusion_refuses("verify", study=study)
    assert f"{weights}: changed since it was published. Moved to" in told and "firefusion run KEY" in told
    state = firefusion("status", study=study)
    assert "trained_unet" in state and "missing" in state
