"""Kills at seeded moments, of whatever takes part in a run; then one more run, and what it leaves."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import dagster as dg
import numpy as np
import psutil
import pytest
from filelock import FileLock

from firefusion_assets.artifacts.bucket import Bucket
from firefusion_assets.core.seeding import generator
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets_tests.builders.bucket_server import bucket_server
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.killing import all_gone, kill_and_wait, processes_of, started
from firefusion_assets_tests.builders.published import published
from firefusion_assets_tests.builders.studies import (
    REPOSITORY,
    TWO_REPLICATES,
    LoadDefinitions,
    materialize,
    write_study,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KEY = "native"
SELF_KILLING = """
import os, signal, sys
from firefusion_assets.artifacts import bucket, store
from firefusion_assets.cli.main import main
what, left = sys.argv.pop(1), [int(sys.argv.pop(1))]

def counted(real):
    def counting(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return counting

if what == "publish":
    store.flush = counted(store.flush)
else:
    bucket.Bucket.write = counted(bucket.Bucket.write)
main()
"""
"""The command, which kills itself in the middle of publishing to the cache, or of uploading."""


class Disturbed:
    """A study of which runs are killed.

    Args:
        folder: for the study, the instance, the cache, and temporary files.
        environment: that names the bucket.
        seed: of the moments.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], seed: int) -> None:
        self.study, self.home = write_study(folder / "study", TWO_REPLICATES), folder / "home"
        self.temporary, self.cache = folder / "temporary", folder / "cache"
        self.temporary.mkdir()
        self._rng: np.random.Generator = generator(seed, "kills")
        self._more = {**environment, "FIREFUSION_CACHE": str(self.cache), "TMPDIR": str(self.temporary)}
        self.killed: list[str] = []

    def environment(self, executor: str) -> dict[str, str]:
        """Return that of a user's shell."""
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        if not (self.home / "dagster.yaml").exists():
            (self.home / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
        return cli_environment(self.study, self.home, executor) | self._more

    def kill(self, what: str) -> None:
        """Run, kill what is named after a while, and wait until nothing is left of the run."""
        if what in ("publish", "upload"):
            most = {"publish": 25, "upload": 8}[what]
            command = [sys.executable, "-c", SELF_KILLING, what, str(self._rng.integers(1, most)), "run", KEY]
            ended = subprocess.run(
                command, env=self.environment("in_process"), cwd=REPOSITORY, capture_output=True, timeout=250
            )
            if ended.returncode == -signal.SIGKILL:
                self.killed.append(what)
            return
        run = started(cli_command("firefusion", "run", KEY), self.environment("multiprocess"))
        daemon = None
        if what == "daemon":
            daemon = started(cli_command("dagster-daemon", "run", "-m", "firefusion_assets.definitions"),
                             self.environment("multiprocess"))  # fmt: skip
        target = self._found(what, run, daemon)
        time.sleep(float(self._rng.uniform(0, 2)))
        with suppress(psutil.NoSuchProcess):
            target.kill()
            self.killed.append(what)
        if what in ("step", "worker"):
            run.wait(timeout=250)  # the run tells of it, and ends by itself
        if run.poll() is None:
            kill_and_wait(run)
        if daemon is not None:
            daemon.wait(timeout=30)
        all_gone(processes_of(self.home))

    def _found(
        self, what: str, run: "subprocess.Popen[bytes]", daemon: "subprocess.Popen[bytes] | None"
    ) -> psutil.Process:
        """Wait for a process of a kind; the run itself if it ends before there is one."""
        if what == "daemon":
            assert daemon is not None
            return psutil.Process(daemon.pid)
        kinds: dict[str, Callable[[list[str]], bool]] = {
            "run": lambda words: False,
            "step": lambda words: "forkserver" in " ".join(words),
            "worker": lambda words: "spawn_main" in " ".join(words),
        }
        deadline = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < deadline:
            with suppress(psutil.NoSuchProcess):
                everything = psutil.Process(run.pid).children(recursive=True)
                # The fork server that starts steps looks as they do, and is the run's own child.
                fitting = [one for one in everything if kinds[what](one.cmdline()) and one.ppid() != run.pid]
                if fitting:
                    return fitting[int(self._rng.integers(len(fitting)))]
                if what == "run" and everything:
                    break
            time.sleep(0.05)
        return psutil.Process(run.pid)


@pytest.fixture
def disturbed(tmp_path: Path) -> Iterator[Disturbed]:
    with bucket_server(tmp_path / "server") as server:
        yield Disturbed(tmp_path, {"FIREFUSION_ARTIFACTS": "s3://objects/kills", **server.environment}, seed=14)


KINDS = [
    *["publish", "upload"] * 4, "upload",  # first those that need something to be made
    *["run", "step", "worker"] * 3, "daemon", "daemon",
]  # fmt: skip


@pytest.mark.usefixtures("all_cores")  # then networks are trained in processes of their own
def test_after_twenty_kills_one_more_run_ends_with_the_bytes_of_an_undisturbed_one(
    disturbed: Disturbed, tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for what in KINDS:
        disturbed.kill(what)
    assert disturbed.killed == KINDS and len(KINDS) == 20
    environment = disturbed.environment("in_process")
    last = subprocess.run(
        cli_command("firefusion", "run", KEY), env=environment, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert last.returncode == 0, last.stderr

    undisturbed = write_study(tmp_path / "whole" / "study", TWO_REPLICATES)
    assert materialize(load_definitions(undisturbed), KEY).success
    made, whole = published(disturbed.cache / "s3" / "objects" / "kills" / "tiny"), published(undisturbed / "artifacts")
    assert made == {place: one for place, one in whole.items() if place in made} and len(made) > 15

    for name, value in environment.items():
        if name.startswith("AWS"):
            monkeypatch.setenv(name, value)
    there = Bucket("s3://objects/kills/tiny").sizes("")
    uploaded = {"/".join(key.split("/")[:2]) for key in there if key.endswith("/manifest.json")}
    # Of a killed upload: a piece that nobody asks for once its whole is there, and the lease that ran out.
    missing = set(whole) - uploaded
    assert not uploaded - set(whole) and not [place for place in missing if place.split("/")[0] in ASSETS]
    assert not [key for key in there if "/.work/" in key]
    assert {key.replace("/.locks/", "/") for key in there if "/.locks/" in key} <= missing
    assert not [
        *disturbed.cache.rglob("*.partial"),
        *disturbed.cache.glob("**/.work/*"),
        *disturbed.cache.glob("**/.fetched/*"),
    ]
    for lock in disturbed.cache.glob("**/.locks/*"):
        with FileLock(lock, timeout=0):
            pass
    with dg.DagsterInstance.from_config(str(disturbed.home)) as instance:
        assert not instance.event_log_storage.get_concurrency_run_ids()
    assert not processes_of(disturbed.home)
