"""The artifact store: an object is finished or not there, made once, and never lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from firefusion_assets.artifacts.store import ArtifactError, ArtifactStore, link


def make_file(text: str) -> Any:
    def make(work: Path) -> dict[str, Any]:
        (work / "sub").mkdir(exist_ok=True)
        (work / "sub" / "file.txt").write_text(text)
        return {"length": len(text)}

    return make


def test_an_object_is_made_once_and_found_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    assert store.find("asset", "f1") is None
    made = store.build("asset", "f1", make_file("hello"))
    again = store.build("asset", "f1", lambda work: pytest.fail("made twice"))
    assert made.path == again.path == tmp_path / "asset" / "f1"
    assert again.facts == {"length": 5}
    assert again.cost["seconds"] >= 0
    assert (again.path / "sub" / "file.txt").read_text() == "hello"
    assert not list((tmp_path / "asset" / ".work").iterdir())


def test_a_manifest_holds_what_its_object_was_made_from(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.build("asset", "unrelated", make_file("0"))

    def make(work: Path) -> dict[str, Any]:
        store.build("part", "inner", lambda inner: {"found": store.find("asset", "unrelated") is not None})
        store.find("part", "missing")
        return {}

    made = store.build("asset", "f", make, uses=[("upstream", "u")], settings={"steps": 3})
    for artifact in (made, store.find("asset", "f")):
        assert artifact is not None
        assert (artifact.uses, artifact.settings) == ((("part", "inner"), ("upstream", "u")), {"steps": 3})
    inner = store.find("part", "inner")
    assert inner is not None and inner.uses == (("asset", "unrelated"),)

    # Manifests of earlier versions say nothing of it.
    manifest = json.loads((made.path / "manifest.json").read_text())
    del manifest["uses"], manifest["settings"]
    (made.path / "manifest.json").write_text(json.dumps(manifest))
    older = store.find("asset", "f")
    assert older is not None and older.uses is None


def test_pointers_move_only_to_finished_objects(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    assert store.pointed("asset", "key") is None
    first = store.build("asset", "f1", make_file("1"))
    store.point("asset", "key", first)
    with pytest.raises(ZeroDivisionError):
        store.build("asset", "f2", lambda work: {"x": 1 / 0})
    pointed = store.pointed("asset", "key")
    assert pointed is not None and pointed.fingerprint == "f1"
    store.point("asset", "key", store.build("asset", "f2", make_file("2")))
    pointed = store.pointed("asset", "key")
    assert pointed is not None and pointed.fingerprint == "f2"
    assert store.keys("asset") == ["key"]
    assert store.find("asset", "f1") is not None


def test_a_failed_attempt_leaves_its_work_to_the_next(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)

    def fail(work: Path) -> dict[str, Any]:
        (work / "checkpoint").write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        store.build("asset", "f", fail)
    assert store.find("asset", "f") is None

    def resume(work: Path) -> dict[str, Any]:
        return {"found": (work / "checkpoint").read_text()}

    assert store.build("asset", "f", resume).facts == {"found": "half"}


def test_damage_is_found(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    made = store.build("asset", "f", make_file("hello"))
    assert store.damages(made, contents=True) == []
    file = made.path / "sub" / "file.txt"
    file.write_text("HELLO")
    assert store.damages(made, contents=False) == []
    assert "changed since it was published" in store.damages(made, contents=True)[0]
    file.unlink()
    assert "missing" in store.damages(made, contents=False)[0]


def test_what_was_published_is_read_back_even_where_nothing_but_bytes_changed(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    made = store.build("asset", "f", make_file("hello"))
    file = made.path / "sub" / "file.txt"
    before = file.stat()
    file.write_text("HELLO")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    told: list[str] = []
    assert store.find("asset", "f", whole=True, tell=told.append) is None
    assert f"{file}: changed since it was published. Moved to" in told[0]
    assert store.build("asset", "f", make_file("hello")).facts == {"length": 5}


def test_a_full_disk_while_publishing_keeps_what_was_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore(tmp_path)
    store.point("asset", "key", store.build("asset", "old", make_file("old")))
    real_fsync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:  # the manifest is the second file that is flushed
            raise OSError(errno.ENOSPC, "No space left on device")
        real_fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ArtifactError, match=r"No space left.*published before is intact"):
            store.build("asset", "new", make_file("new"))
    pointed = store.pointed("asset", "key")
    assert pointed is not None and pointed.fingerprint == "old"
    assert store.damages(pointed, contents=True) == []
    assert store.find("asset", "new") is None
    assert store.build("asset", "new", make_file("new")).facts == {"length": 3}


def test_a_full_disk_while_making_says_so_too(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from firefusion_assets.artifacts.store import ArtifactError, ArtifactStore
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails instead of killing
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        def make(work):
            (work / "big").write_bytes(bytes(100_000))
            return {}
        try:
            ArtifactStore(Path(sys.argv[1])).build("asset", "f", make)
        except ArtifactError as error:
            print(error)
        """
    )
    output = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert "could not be written" in output.stdout
    assert ArtifactStore(tmp_path).find("asset", "f") is None


_SLOW = """
import json, sys, time
from pathlib import Path
from firefusion_assets.artifacts.store import ArtifactStore
root = Path(sys.argv[1])
def make(work):
    with (root / "makers").open("a") as file:
        file.write("made\\n")
    (work / "started").touch()
    time.sleep(float(sys.argv[2]))
    return {"by": sys.argv[3]}
made = ArtifactStore(root).build("asset", "f", make, print)
print(json.dumps(dict(made.facts)))
"""


def _start(root: Path, seconds: float, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _SLOW, str(root), str(seconds), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_want_one_object_do_the_work_once(tmp_path: Path) -> None:
    both = [_start(tmp_path, 2, name) for name in ("a", "b")]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert (tmp_path / "makers").read_text() == "made\n"
    facts = {json.dumps(json.loads(output.splitlines()[-1])) for output in outputs}
    assert len(facts) == 1
    assert sum("waiting for it" in output for output in outputs) == 1


def test_a_killed_maker_frees_the_lock_and_leaves_nothing_finished(tmp_path: Path) -> None:
    process = _start(tmp_path, 60, "killed")
    deadline = time.monotonic() + 30
    while not (tmp_path / "asset" / ".work" / "f" / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)  # a killed process ends as soon as the kernel lets it
    store = ArtifactStore(tmp_path)
    assert store.find("asset", "f") is None
    assert store.build("asset", "f", lambda work: {"by": "next"}).facts == {"by": "next"}


def test_link_needs_no_second_copy(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    link(tmp_path / "a", tmp_path / "b" / "a")
    link(tmp_path / "a", tmp_path / "b" / "a")
    assert (tmp_path / "b" / "a").samefile(tmp_path / "a")
