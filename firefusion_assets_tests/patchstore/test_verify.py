"""A damaged record is found by its name; a store that can't be trusted at all says so instead of crashing."""

from pathlib import Path

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firefusion_assets.patchstore import Patches, PatchStoreError, PatchWriter, StoreMeta
from firefusion_assets.patchstore.records import encode_patch
from firefusion_assets.patchstore.verify import verify
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.stores import random_patch, write

PATCHES = {f"p{i}": random_patch(i, 3, 64) for i in range(5)}


def flip(path: Path, place: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(PATCHES)), share=st.floats(0, 1, exclude_max=True))
def test_one_flipped_bit_is_found_by_the_name_of_its_record(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    path = write(tmp_path_factory.mktemp("store"), PATCHES)
    assert verify(path) == []
    record = encode_patch(PATCHES[name])
    flip(path / "data.mdb", (path / "data.mdb").read_bytes().index(record) + int(share * len(record)))
    assert verify(path) == [name]


def test_records_of_overlays_are_named_with_their_fold(tmp_path: Path) -> None:
    with PatchWriter(tmp_path, StoreMeta(study="t", bands=("B1", "B2", "B3"), patch_size=64)) as writer:
        writer.add_patch("syn", PATCHES["p0"], fold=1)
        writer.add_patch("real", PATCHES["p1"])
    assert verify(tmp_path) == []
    content = (tmp_path / "data.mdb").read_bytes()
    flip(tmp_path / "data.mdb", content.index(encode_patch(PATCHES["p0"])))
    flip(tmp_path / "data.mdb", content.index(encode_patch(PATCHES["p1"])))
    assert verify(tmp_path) == ["1/syn", "real"]


def test_a_record_that_is_gone_is_found(tmp_path: Path) -> None:
    write(tmp_path, PATCHES)
    with lmdb.open(str(tmp_path), lock=False) as env, env.begin(write=True) as transaction:
        transaction.delete(b"p3")
    assert verify(tmp_path) == ["p3"]


def test_a_damaged_index_is_found(tmp_path: Path) -> None:
    write(tmp_path, PATCHES)
    content = (tmp_path / "data.mdb").read_bytes()
    flip(tmp_path / "data.mdb", content.index(b'"weight": 1.0') + len(b'"weight": '))  # 1.0 becomes 5.0
    assert verify(tmp_path) == ["\0index"]
    flip(tmp_path / "data.mdb", content.index(b'"patch_id"'))
    with pytest.raises(PatchStoreError, match="its index can't be read"):
        verify(tmp_path)


def test_a_store_that_was_cut_short_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    write(tmp_path, PATCHES)
    content = (tmp_path / "data.mdb").read_bytes()
    (tmp_path / "data.mdb").write_bytes(content[:-4096])
    for read in (verify, Patches):
        with pytest.raises(PatchStoreError, match=f"cut short: data.mdb has {len(content) - 4096} bytes"):
            read(tmp_path)


def test_a_store_without_checksums_is_no_whole_store(tmp_path: Path) -> None:
    write(tmp_path, PATCHES)
    with lmdb.open(str(tmp_path), lock=False) as env, env.begin(write=True) as transaction:
        transaction.delete(b"\0checksums")
    assert len(Patches(tmp_path)) == 5
    with pytest.raises(PatchStoreError, match="holds no checksums"):
        verify(tmp_path)


def test_the_command_names_every_store_and_record(tmp_path: Path) -> None:
    whole, damaged = write(tmp_path / "whole", PATCHES), write(tmp_path / "damaged", PATCHES)
    assert "as it was written" in firefusion("verify", whole, damaged)
    content = (damaged / "data.mdb").read_bytes()
    for name in ("p1", "p2"):
        flip(damaged / "data.mdb", content.index(encode_patch(PATCHES[name])))
    lines = firefusion_refuses("verify", whole, damaged, tmp_path / "nowhere").splitlines()
    assert lines[:2] == [f"{damaged}: record 'p1' is damaged", f"{damaged}: record 'p2' is damaged"]
    assert "nowhere is not a patch store" in lines[2]
    assert "make them again" in lines[3]
