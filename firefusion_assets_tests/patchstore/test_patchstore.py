"""The patch store gives back what was written, zero-copy, in any process, with overlays over a base."""

import multiprocessing
import pickle
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from types import SimpleNamespace

import lmdb
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firefusion_assets.patchstore import Patch, Patches, PatchStoreError, PatchWriter, StoreMeta
from firefusion_assets_tests.builders.stores import random_patch, write


def assert_same(read: Patch, written: Patch) -> None:
    for got, want in zip(read[:3], written[:3], strict=True):
        np.testing.assert_array_equal(got, want)
    assert read.weight == written.weight


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 70),
    n_bands=st.integers(1, 10),
    size=st.sampled_from([7, 8, 33]),
    seed=st.integers(0, 2**32),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, n: int, n_bands: int, size: int, seed: int) -> None:
    patches = {f"p{i}": random_patch(seed + i, n_bands, size, weight=i / 7) for i in range(n)}
    reader = Patches(write(tmp_path_factory.mktemp("store"), patches))
    assert reader.base_ids == list(patches)
    for patch_id, patch in patches.items():
        assert_same(reader.read(patch_id), patch)


def test_bytes_a_patch_at_256_px_and_growth_of_the_map(tmp_path: Path) -> None:
    patches = {f"p{i}": random_patch(i, 3, 256) for i in range(200)}  # 82 MB: more than the first map
    path = write(tmp_path, patches)
    bytes_a_patch = (path / "data.mdb").stat().st_size / 200
    assert bytes_a_patch <= 1.05 * (3 * 256 * 256 * 2 + 256 * 256 / 4)
    assert_same(Patches(path).read("p199"), patches["p199"])


def test_bands_are_a_view_of_the_map(tmp_path: Path) -> None:
    bands = Patches(write(tmp_path, {"p": random_patch(0, 3, 64)})).read("p").bands
    assert not bands.flags.owndata
    assert not bands.flags.writeable


def test_overlay_adds_patches_of_its_fold_only(tmp_path: Path) -> None:
    base = {key: random_patch(i, 2, 16) for i, key in enumerate("abc")}
    write(tmp_path / "base", base)
    added, other = (random_patch(i, 2, 16, weight=i / 14) for i in (7, 8))
    meta = StoreMeta(study="t", bands=("B1", "B2"), patch_size=16)
    with PatchWriter(tmp_path / "overlay", meta) as writer:
        writer.add_patch("syn", added, fold=0)
        writer.add_patch("syn", other, fold=1)
        writer.add_patch("both", other)
    reader = Patches(tmp_path / "base", [tmp_path / "overlay"], fold=0)
    assert reader.added_ids == ["syn", "both"]
    assert_same(reader.read("syn"), added)
    assert_same(reader.read("both"), other)
    assert_same(reader.read("a"), base["a"])
    assert_same(reader.read("c"), base["c"])
    other_fold = Patches(tmp_path / "base", [tmp_path / "overlay"], fold=1)
    assert_same(other_fold.read("syn"), other)
    assert_same(other_fold.read("b"), base["b"])


def test_empty_overlay_changes_nothing(tmp_path: Path) -> None:
    base = {"a": random_patch(0, 2, 16)}
    write(tmp_path / "base", base)
    with PatchWriter(tmp_path / "overlay", StoreMeta(study="t", bands=("B1", "B2"), patch_size=16)):
        pass
    reader = Patches(tmp_path / "base", [tmp_path / "overlay"])
    assert (reader.base_ids, reader.added_ids) == (["a"], [])


def _read_in_child(reader: Patches, queue: "multiprocessing.Queue[int]") -> None:
    queue.put(int(reader.read("p").bands.astype(np.int64).sum()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_one_reader_serves_several_processes(tmp_path: Path, method: str) -> None:
    patch = random_patch(0, 3, 64)
    reader = Patches(write(tmp_path, {"p": patch}))
    expected = int(reader.read("p").bands.astype(np.int64).sum())
    context = multiprocessing.get_context(method)
    queue: multiprocessing.Queue[int] = context.Queue()
    child = context.Process(target=_read_in_child, args=(reader, queue))
    child.start()
    assert queue.get(timeout=60) == expected == int(patch.bands.astype(np.int64).sum())
    child.join(60)  # it only has to end
    assert child.exitcode == 0
    assert_same(pickle.loads(pickle.dumps(reader)).read("p"), patch)  # noqa: S301


def test_two_readers_of_one_store(tmp_path: Path) -> None:
    path = write(tmp_path, {"p": random_patch(0, 3, 8)})
    assert_same(Patches(path).read("p"), Patches(path).read("p"))


def test_unfinished_and_foreign_stores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PatchStoreError, match="not a patch store"):
        Patches(tmp_path / "nowhere")
    with lmdb.open(str(tmp_path / "cut")) as env, env.begin(write=True) as transaction:
        transaction.put(b"p", b"half a store")
    with pytest.raises(PatchStoreError, match="was not finished"):
        Patches(tmp_path / "cut")
    write(tmp_path / "base", {"a": random_patch(0, 2, 16)})
    write(tmp_path / "other", {"a": random_patch(0, 3, 16)})
    with pytest.raises(PatchStoreError, match="overlay"):
        Patches(tmp_path / "base", [tmp_path / "other"])
    with pytest.raises(PatchStoreError, match="no store holds patch 'z'"):
        Patches(tmp_path / "base").read("z")


def test_wrong_patches_are_refused(tmp_path: Path) -> None:
    with PatchWriter(tmp_path, StoreMeta(study="t", bands=("B1",), patch_size=8)) as writer:
        with pytest.raises(ValueError, match="holds uint16"):
            writer.add_patch("a", random_patch(0, 2, 8))
        with pytest.raises(ValueError, match="holds bool"):
            writer.add_patch("a", random_patch(0, 1, 8)._replace(label=np.zeros((8, 8), np.uint8)))  # type: ignore[arg-type]
        writer.add_patch("a", random_patch(0, 1, 8))
        with pytest.raises(ValueError, match="already written"):
            writer.add_patch("a", random_patch(0, 1, 8))


def test_a_full_disk_is_an_os_error_and_leaves_no_readable_store(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from firefusion_assets.patchstore import Patch, PatchWriter, StoreMeta
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails instead of killing
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        patch = Patch(np.ones((10, 64, 64), np.uint16), np.zeros((64, 64), bool), np.zeros((64, 64), bool))
        try:
            with PatchWriter(Path(sys.argv[1]), StoreMeta(study="t", bands=tuple("abcdefghij"), patch_size=64)) as w:
                for i in range(100):
                    w.add_patch(str(i), patch)
        except OSError as error:
            print(error)
        """
    )
    output = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert "could not be written" in output.stdout
    with pytest.raises(PatchStoreError, match="was not finished"):
        Patches(tmp_path)


def mount(path: Path, kind: str) -> list[SimpleNamespace]:
    """A mount table in which a folder is a file system of its own."""
    return [SimpleNamespace(mountpoint=place, fstype=fstype) for place, fstype in (("/", "ext4"), (str(path), kind))]


@pytest.mark.parametrize(("kind", "shared"), [("nfs4", True), ("lustre", True), ("fuse.sshfs", True), ("xfs", False)])
def test_on_a_shared_file_system_a_store_is_written_elsewhere_and_copied_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, shared: bool
) -> None:
    remote, local = tmp_path / "remote", tmp_path / "local"
    local.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(local))
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mount(remote, kind))
    patches = {f"p{i}": random_patch(i, 3, 64) for i in range(100)}
    folder = remote / "object" / "base.lmdb"
    with PatchWriter(folder, StoreMeta(study="t", bands=("B1", "B2", "B3"), patch_size=64)) as writer:
        for patch_id, patch in patches.items():
            writer.add_patch(patch_id, patch)
        assert [*folder.iterdir()] == ([] if shared else [folder / "data.mdb"])
    assert [*folder.iterdir()] == [folder / "data.mdb"]  # no lock file: a store is read without locks
    assert not list(local.iterdir())
    assert_same(Patches(folder).read("p99"), patches["p99"])


def test_a_failure_publishes_nothing_on_a_shared_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "local"))
    (tmp_path / "local").mkdir()
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mount(tmp_path / "remote", "nfs"))
    meta = StoreMeta(study="t", bands=("B1",), patch_size=8)
    with pytest.raises(RuntimeError, match="power cut"), PatchWriter(tmp_path / "remote", meta) as writer:
        writer.add_patch("a", random_patch(0, 1, 8))
        raise RuntimeError("power cut")
    assert not list((tmp_path / "remote").iterdir()) and not list((tmp_path / "local").iterdir())
