"""Objects in a bucket, on a real S3 server: fetched once, made once, whole or not there, whoever dies."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from firefusion_assets.artifacts import bucket, cache, lease, work_copy
from firefusion_assets.artifacts.bucket import Bucket, BucketError
from firefusion_assets.artifacts.bucket_store import open_store
from firefusion_assets.artifacts.store import ArtifactError, ArtifactStore
from firefusion_assets.core.seeding import generator
from firefusion_assets_tests.builders.bucket_server import KEY_ID, SECRET, Server, bucket_server

pytestmark = pytest.mark.slow

Machine = Callable[[str], ArtifactStore]
"""Gives the store as the machine of a name opens it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with bucket_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def url(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of its own in the bucket."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(lease, "_LOOK_S", 0.05)
    bucket._client.cache_clear()
    return f"s3://objects/{tmp_path.name}/study"


@pytest.fixture
def machine(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give the store as another machine, with a cache of its own, opens it."""

    def opened(name: str) -> ArtifactStore:
        monkeypatch.setenv("FIREFUSION_CACHE", str(tmp_path / name))
        return open_store(url)

    return opened


def make_files(**texts: str) -> Any:
    def make(work: Path) -> dict[str, Any]:
        (work / "sub").mkdir(exist_ok=True)
        for name, text in texts.items():
            (work / "sub" / f"{name}.txt").write_text(text)
        return {"files": len(texts)}

    return make


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Fetches(list[str]):
    """Files fetched so far."""


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Fetches:
    told, real = Fetches(), Bucket.fetch

    def fetch(self: Bucket, key: str, path: Path, n_bytes: int) -> str:
        told.append(key)
        return real(self, key, path, n_bytes)

    monkeypatch.setattr(Bucket, "fetch", fetch)
    return told


def test_what_one_machine_made_another_finds_and_fetches_once(machine: Machine, fetched: Fetches) -> None:
    here = machine("here")
    made = here.build("asset", "f1", make_files(a="hello", b="", c="x" * 100), settings={"steps": 3})
    here.build("asset", "unread", make_files(d="never read"))
    here.point("asset", "key", made)

    there = machine("there")
    assert there.keys("asset") == ["key"]
    assert [*there.objects()] == [("asset", "f1"), ("asset", "unread")]
    pointed = there.pointed("asset", "key")
    assert pointed is not None and (pointed.facts, pointed.settings) == ({"files": 3}, {"steps": 3})
    assert there.build("asset", "unread", lambda work: pytest.fail("made twice")).facts == {"files": 1}
    assert fetched == []  # whoever asks for facts fetches no files

    for _ in range(3):
        assert contents(pointed.path) == contents(made.path)
    again = there.find("asset", "f1", whole=True)
    assert again is not None and contents(again.path) == contents(made.path)
    whole = (b"hello", b"", b"x" * 100)
    assert sorted(fetched) == sorted(f"asset/f1/{hashlib.sha256(content).hexdigest()}" for content in whole)
    assert pointed.path != made.path
    assert there.find("asset", "missing") is None and there.pointed("asset", "missing") is None


def test_a_file_that_is_larger_than_a_request_arrives_whole(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "_PIECE", 1_000_000)
    noise = generator(5, "noise").bytes(7_300_001)

    def make(work: Path) -> dict[str, Any]:
        (work / "big").write_bytes(noise)
        return {}

    machine("here").build("asset", "f", make)
    found = machine("there").find("asset", "f")
    assert found is not None and (found.path / "big").read_bytes() == noise


def test_what_arrives_damaged_is_fetched_again_and_then_named(
    machine: Machine, url: str, fetched: Fetches, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("here").build("asset", "f", make_files(a="hello"))
    counted, broken = Bucket.fetch, [True]

    def fetch(self: Bucket, key: str, path: Path, n_bytes: int) -> str:
        digest = counted(self, key, path, n_bytes)
        return "cut short" if broken.pop() else digest

    broken[:] = [False, True]
    monkeypatch.setattr(Bucket, "fetch", fetch)
    found = machine("there").find("asset", "f")
    assert found is not None and (found.path / "sub" / "a.txt").read_text() == "hello" and len(fetched) == 2

    monkeypatch.setattr(Bucket, "fetch", counted)
    hello = f"asset/f/{hashlib.sha256(b'hello').hexdigest()}"
    Bucket(url).write(hello, b"HELLO")
    damaged = machine("third").find("asset", "f")
    assert damaged is not None
    with pytest.raises(ArtifactError, match=rf"{hello}: sub/a\.txt isn't what was published, fetched twice\. Remove"):
        _ = damaged.path
    assert machine("third").find("asset", "f") is not None and not damaged.folder.exists()
    # The remedy of the message.
    Bucket(url).remove(["asset/f/manifest.json"])
    assert contents(machine("third").build("asset", "f", make_files(a="hello")).path)["sub/a.txt"] == b"hello"


def test_what_is_damaged_in_the_cache_is_fetched_anew(machine: Machine) -> None:
    made = machine("here").build("asset", "f", make_files(a="hello"))
    (made.path / "sub" / "a.txt").write_text("HELLO")
    found = machine("here").find("asset", "f", whole=True, tell=lambda line: None)
    assert found is not None and (found.path / "sub" / "a.txt").read_text() == "hello"


def test_names_from_a_bucket_lead_nowhere_else(machine: Machine, url: str, tmp_path: Path) -> None:
    machine("here").build("asset", "f", make_files(a="hello"))
    there = Bucket(url)
    text = (there.read("asset/f/manifest.json") or b"").decode()
    there.write("asset/f/manifest.json", text.replace("sub/a.txt", "../../../../escaped").encode())
    found = machine("there").find("asset", "f")
    assert found is not None
    with pytest.raises(ValueError, match="leads out of"):
        _ = found.path
    assert not list(tmp_path.rglob("escaped"))


def test_a_damaged_manifest_or_pointer_is_as_if_there_were_none(machine: Machine, url: str) -> None:
    here = machine("here")
    here.point("asset", "key", here.build("asset", "f", make_files(a="hello")))
    Bucket(url).write("asset/f/manifest.json", b"{")
    told: list[str] = []
    there = machine("there")
    assert there.find("asset", "f", tell=told.append) is None and "manifest.json: can't be read" in told[0]
    assert "manifest.json: can't be read" in there.verify("asset", "f")[0]
    Bucket(url).write("asset/f/manifest.json", b"{")
    there.build("asset", "f", make_files(a="hello"))
    assert machine("third").find("asset", "f") is not None
    Bucket(url).write("asset/keys/key.json", b"[]")
    assert there.pointed("asset", "key") is None


BEFORE_MANIFEST = -1
"""A moment of `MAKER`, besides numbers of written files."""
MAKER = """
import os, signal, sys, threading, time
from pathlib import Path
from firefusion_assets.artifacts import bucket, lease, work_copy
from firefusion_assets.artifacts.bucket_store import open_store
lease._LOOK_S = 0.05
SIGNAL, MARK, BEFORE_MANIFEST = signal.SIGKILL, 0, -1
url, kill_at, kill_after, log = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
writes, real, real_if = [], bucket.Bucket.write, bucket.Bucket.write_if

def write(self, key, content):
    if isinstance(content, Path):
        writes.append(key)
        if len(writes) == kill_at:
            threading.Timer(kill_after, os.kill, (os.getpid(), SIGNAL)).start()
    real(self, key, content)

def write_if(self, key, content, version):
    if kill_at == BEFORE_MANIFEST and key.endswith("manifest.json"):
        os.kill(os.getpid(), SIGNAL)
    return real_if(self, key, content, version)

bucket.Bucket.write, bucket.Bucket.write_if = write, write_if

def make(work):
    with log.open("a") as file:
        print(os.getpid(), file=file)
    time.sleep(0.3)
    for number in range(4):
        (work / f"file-{number}").write_bytes(bytes([number + MARK]) * 12_000_000)
    return {}

made = open_store(url).build("asset", "f", make)
print(sorted(path.name for path in made.path.iterdir()))
"""


def maker(url: str, cache_folder: Path, log: Path, kill_at: int = 0, kill_after: float = 0.0) -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(MAKER), url, str(kill_at), str(kill_after), str(log)],
        env=os.environ | {"FIREFUSION_CACHE": str(cache_folder)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_kill_in_the_middle_of_an_upload_leaves_no_object_and_loses_nothing(
    machine: Machine, url: str, tmp_path: Path
) -> None:
    rng, log, place = generator(14, "kills"), tmp_path / "log", Bucket(url)
    for kill_at in (1, 3, 4):
        killed = maker(url, tmp_path / "here", log, kill_at, rng.uniform(0.0, 0.03))
        killed.communicate(timeout=100)
        assert killed.returncode == -signal.SIGKILL
        assert machine("elsewhere").find("asset", "f") is None
        assert "asset/f/manifest.json" not in place.sizes("")
    finishing = maker(url, tmp_path / "here", log)
    assert "file-3" in finishing.communicate(timeout=100)[0] and finishing.returncode == 0
    assert len(log.read_text().splitlines()) == 1  # it was made once, and uploaded when that could be
    found = machine("elsewhere").find("asset", "f")
    assert found is not None
    assert contents(found.path)["file-2"] == b"\2" * 12_000_000
    hashes = (hashlib.sha256(bytes([number]) * 12_000_000).hexdigest() for number in range(4))
    assert {*place.sizes("")} == {*(f"asset/f/{one}" for one in hashes), "asset/f/manifest.json"}


@pytest.mark.parametrize("moment", [2, BEFORE_MANIFEST])
def test_who_is_woken_after_its_lease_was_taken_over_writes_over_nothing(
    machine: Machine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Both make other bytes, as GPUs may."""
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    frozen = subprocess.Popen(
        [
            sys.executable, "-c", MAKER.replace("signal.SIGKILL, 0", "signal.SIGSTOP, 100"),
            url, str(moment), "0", str(tmp_path / "log"),
        ],
        env=os.environ | {"FIREFUSION_CACHE": str(tmp_path / "there")}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while psutil.Process(frozen.pid).status() != psutil.STATUS_STOPPED:
        assert frozen.poll() is None
        time.sleep(0.02)
    files = {f"file-{number}": bytes([number]) * 12_000_000 for number in range(4)}

    def make(work: Path) -> dict[str, Any]:
        for name, content in files.items():
            (work / name).write_bytes(content)
        return {}

    machine("here").build("asset", "f", make)
    frozen.send_signal(signal.SIGCONT)
    assert "file-3" in frozen.communicate(timeout=100)[0] and frozen.returncode == 0
    for name in ("there", "third"):
        found = machine(name).find("asset", "f", whole=True)
        assert found is not None
        assert {name: one for name, one in contents(found.path).items() if name != "manifest.json"} == files
    assert not Bucket(url).sizes("asset/.locks") and not Bucket(url).sizes("asset/.work")


def test_two_makers_on_two_machines_make_it_once(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    makers = [maker(url, tmp_path / name, log) for name in ("here", "there")]
    outputs = [one.communicate(timeout=100)[0] for one in makers]
    assert [one.returncode for one in makers] == [0, 0]
    assert outputs[0] == outputs[1] and "file-3" in outputs[0]
    assert len(log.read_text().splitlines()) == 1
    assert not Bucket(url).sizes("asset/.locks")


def test_who_dies_elsewhere_is_followed_when_its_lease_expires(
    machine: Machine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    killed = maker(url, tmp_path / "there", log, kill_at=2)
    killed.communicate(timeout=100)
    assert list(Bucket(url).sizes("asset/.locks")) == ["f"]
    assert machine("here").being_made() == {("asset", "f")}, "its lease was renewed lately"
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    told: list[str] = []
    begin = time.monotonic()
    machine("here").build("asset", "f", make_files(a="hello"), told.append)
    assert time.monotonic() - begin > 1.0
    assert machine("here").being_made() == set()
    assert told == ["another machine is making asset/.locks/f; waiting for it"]
    assert not Bucket(url).sizes("asset/.locks")
    # What died comes back, with its own bytes: those of the bucket count.
    returned = machine("there").build("asset", "f", lambda work: pytest.fail("made again"))
    assert "sub/a.txt" in contents(returned.path) and returned.facts == {"files": 1}


def test_a_lease_that_beats_is_not_taken_over(
    machine: Machine, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.6)
    monkeypatch.setattr(lease, "_BEAT_S", 0.1)
    log = tmp_path / "log"
    slow = textwrap.dedent(MAKER).replace("lease._LOOK_S = 0.05", "lease._BEAT_S = 0.1").replace("0.3", "3.0")
    other = subprocess.Popen(
        [sys.executable, "-c", slow, url, "0", "0", str(log)],
        env=os.environ | {"FIREFUSION_CACHE": str(tmp_path / "there")},
    )
    while not log.exists():
        time.sleep(0.05)
    found = machine("here").build("asset", "f", lambda work: pytest.fail("made twice"))
    assert other.wait(timeout=60) == 0 and "file-0" in contents(found.path)


def test_whoever_lost_its_lease_takes_what_the_other_published(
    machine: Machine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine("here")
    monkeypatch.setattr(lease, "LEASE_S", 0.3)

    def make(work: Path) -> dict[str, Any]:
        """As if this process had stood still for longer than its lease."""
        machine("there").build("asset", "f", make_files(a="theirs"))
        return dict(make_files(a="ours")(work))

    made = here.build("asset", "f", make)
    assert (made.path / "sub" / "a.txt").read_text() == "theirs"
    assert here.root in made.path.parents


def test_who_lost_its_lease_publishes_nothing_until_it_has_it_again(
    machine: Machine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.5)
    place, told, manifests = Bucket(url), list[str](), list[bytes | None]()

    def make(work: Path) -> dict[str, Any]:
        place.write("asset/.locks/f", json.dumps({"holder": "another", "session": "1", "beat": "1"}).encode())
        return dict(make_files(a="ours")(work))

    def progress(line: str) -> None:
        told.append(line)
        manifests.append(place.read("asset/f/manifest.json"))

    machine("here").build("asset", "f", make, progress)
    assert told == ["another machine is making asset/.locks/f; waiting for it"] and manifests == [None]
    assert machine("there").find("asset", "f") is not None


def test_unfinished_work_goes_on_elsewhere(machine: Machine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_copy, "_EVERY_S", 0.1)
    monkeypatch.setattr(lease, "LEASE_S", 0.3)
    place = Bucket(url)

    def copied() -> dict[str, Any]:
        return dict(json.loads(place.read("asset/.work/f/index.json") or b"{}").get("files", {}))

    def die(work: Path) -> dict[str, Any]:
        (work / "fold-0").mkdir(exist_ok=True)
        (work / "fold-0" / "checkpoint").write_text("half")
        (work / "half.partial").write_text("being written")
        while not copied():
            time.sleep(0.02)
        raise RuntimeError("the pod is gone")

    with pytest.raises(RuntimeError, match="the pod is gone"):
        machine("there").build("asset", "f", die)
    assert list(copied()) == ["fold-0/checkpoint"]

    def resumed(work: Path) -> dict[str, Any]:
        return {"found": {name: text.decode() for name, text in contents(work).items()}}

    assert machine("here").build("asset", "f", resumed).facts == {"found": {"fold-0/checkpoint": "half"}}
    assert not place.sizes("asset/.work")


def test_a_copy_of_work_holds_one_moment(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = work_copy.WorkCopy(Bucket(url), "asset/.work/f", "me")
    work = tmp_path / "work"
    work.mkdir()
    (work / "weights").write_text("of step 1")
    (work / "step").write_text("1")
    assert copy.renew(work)

    real = Bucket.write

    def replaced_meanwhile(self: Bucket, key: str, content: Any) -> None:
        for name, text in (("weights", "of step 3"), ("step", "3")):
            (work / "new").write_text(text)
            (work / "new").replace(work / name)
        real(self, key, content)

    (work / "step").write_text("2")
    (work / "weights").write_text("of step 2")
    monkeypatch.setattr(Bucket, "write", replaced_meanwhile)
    assert copy.renew(work)
    other = tmp_path / "other"
    other.mkdir()
    work_copy.WorkCopy(Bucket(url), "asset/.work/f", "you").restore(other)
    assert contents(other) == {"weights": b"of step 2", "step": b"2"}

    def grown_meanwhile(self: Bucket, key: str, content: Any) -> None:
        with (work / "store").open("a") as file:
            file.write("more")
        real(self, key, content)

    (work / "store").write_text("some")
    monkeypatch.setattr(Bucket, "write", grown_meanwhile)
    assert not copy.renew(work)
    work_copy.WorkCopy(Bucket(url), "asset/.work/f", "you").restore(other)
    assert contents(other) == {"weights": b"of step 2", "step": b"2"}


def test_the_cache_stays_within_its_limit(
    machine: Machine, fetched: Fetches, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = machine("here")
    for number in range(6):
        here.build("asset", f"f{number}", make_files(a=str(number) * 1000))
    monkeypatch.setenv("FIREFUSION_CACHE_GB", "0.0000035")
    script = """
        import sys
        from firefusion_assets.artifacts.bucket_store import open_store
        store = open_store(sys.argv[1])
        for number in sys.argv[2:]:
            print((store.find("asset", f"f{number}").path / "sub" / "a.txt").read_text()[:1], end="")
    """
    there = machine("there")
    for number in "012345":
        command = [sys.executable, "-c", textwrap.dedent(script), there.place, number]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == number
    kept = sorted(path.parent.name for path in there.root.glob("asset/*/manifest.json"))
    assert kept == ["f3", "f4", "f5"]
    # What a living process reads stays, whatever the limit.
    folders = [found.path for number in range(6) if (found := there.find("asset", f"f{number}"))]
    assert all((folder / "sub" / "a.txt").is_file() for folder in folders)


def test_what_is_not_uploaded_yet_never_leaves_the_cache(
    machine: Machine, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREFUSION_CACHE_GB", "0.000001")
    here = machine("here")
    monkeypatch.setattr(bucket, "_RETRY_S", 0.5)
    bucket._client.cache_clear()

    def make(work: Path) -> dict[str, Any]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
        bucket._client.cache_clear()
        return dict(make_files(a="x" * 5000)(work))

    with pytest.raises(ArtifactError, match=r"asset/f/.*after \d+ retries(.|\n)*What was made is in .*run again"):
        here.build("asset", "f", make)
    with pytest.raises(BucketError, match="run again once the bucket answers"):
        here.find("asset", "other")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    bucket._client.cache_clear()
    here.build("asset", "other", make_files(a="y" * 5000))
    assert here.build("asset", "f", lambda work: pytest.fail("made again")).facts == {"files": 1}
    assert machine("there").find("asset", "f") is not None


def test_a_bucket_that_comes_back_is_waited_for(machine: Machine, server: Server) -> None:
    back = threading.Timer(3.0, server.process.send_signal, [signal.SIGCONT])
    server.process.send_signal(signal.SIGSTOP)
    back.start()
    made = machine("here").build("asset", "f", make_files(a="hello"))
    assert not back.is_alive() and made.facts == {"files": 1}
    assert machine("there").find("asset", "f") is not None


def test_what_lacks_bytes_in_the_bucket_is_told_and_sent_again(machine: Machine, url: str) -> None:
    here = machine("here")
    here.build("asset", "f", make_files(a="hello"))
    assert here.verify("asset", "f") == []
    Bucket(url).write(f"asset/f/{hashlib.sha256(b'hello').hexdigest()}", b"hell")
    (told,) = here.verify("asset", "f")
    assert told.startswith(f"{url}/asset/f/sub/a.txt: isn't as it was published")
    assert machine("there").find("asset", "f") is None
    machine("here").build("asset", "f", lambda work: pytest.fail("made again"))
    found = machine("there").find("asset", "f")
    assert found is not None and contents(found.path)["sub/a.txt"] == b"hello"


def test_secrets_stand_nowhere(
    machine: Machine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import pickle

    here = machine("here")
    here.point("asset", "key", here.build("asset", "f", make_files(a="hello"), settings={"place": here.place}))
    monkeypatch.setattr(bucket, "_RETRY_S", 0.5)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET[::-1])
    bucket._client.cache_clear()
    with pytest.raises(BucketError) as refused:
        machine("there").find("asset", "f")
    assert "403" in str(refused.value)
    told = [str(refused.value), caplog.text, repr(here), here.place, pickle.dumps(here).decode("latin-1")]
    files = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    bucket._client.cache_clear()
    place = Bucket(url)
    stored = [(place.read(key) or b"").decode("latin-1") for key in place.sizes("")]
    assert len(files) > 5 and len(stored) == 3
    for text in [*told, *files, *stored]:
        assert SECRET not in text and SECRET[::-1] not in text and KEY_ID not in text


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("s3://KEY:hidden@bucket/x", "holds more than bucket and prefix"),
        ("az://container/x?sig=hidden", "holds more than bucket and prefix"),
        ("ftp://bucket/x", "name a bucket as"),
        ("s3:///x", "name a bucket as"),
        ("s3://bucket/../x", "name a bucket as"),
    ],
)
def test_a_url_names_a_bucket_and_holds_no_secret(place: str, what: str) -> None:
    with pytest.raises(BucketError, match=what) as error:
        open_store(place)
    assert "hidden" not in str(error.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(BucketError, match=r"pip install 'firefusion-assets\[bucket\]'"):
        open_store("s3://bucket/x")


def test_a_folder_is_a_folder(tmp_path: Path) -> None:
    assert open_store(str(tmp_path)).root == tmp_path


@pytest.mark.parametrize("limit", ["0", "many", "-1", "nan"])
def test_a_limit_is_a_number_above_0(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREFUSION_CACHE_GB", limit)
    with pytest.raises(ValueError, match="FIREFUSION_CACHE_GB"):
        cache.cache_limit()
