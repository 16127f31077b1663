"""One key on celery's workers, each as on a machine of its own, of which some are lost: nothing of it is."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from firefusion_assets.artifacts.bucket import Bucket
from firefusion_assets_tests.builders.bucket_server import bucket_server
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.databases import postgres_server, redis_server
from firefusion_assets_tests.builders.published import objects
from firefusion_assets_tests.builders.studies import REPOSITORY, TINY_STUDY, write_study

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.skipif("FIREFUSION_TEST_CLUSTER" not in os.environ, reason="takes minutes: make test-cluster"),
]
STUDY = TINY_STUDY.replace("steps: 6", "steps: 80").replace("validate_every: 2", "validate_every: 10")
NATIVE = """
generator: {engine: native, crop: 16, steps: 60, batch_size: 2, channels: [8, 16], checkpoint_every: 10}
sampling: {images: 6, batch_size: 4, steps: 2}
screening: {detectors: [murphy], min_changed: 0, min_detected: 0}
"""
BUCKET = "s3://objects/cluster"
RUN = ("firefusion", "run", "native", "--to", "dice_metrics")


def home(machine: Path) -> Path:
    """Return a DAGSTER_HOME of a machine, on the database that all share."""
    folder = machine / "home"
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "deploy" / "dagster.yaml", folder)
    return folder


@contextmanager
def worker(machine: Path, queue: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker of a queue that shares nothing with others but study, bucket and servers."""
    programs = os.pathsep.join([str(Path(cli_command("celery")[0]).parent), os.environ["PATH"]])
    own = {"DAGSTER_HOME": str(home(machine)), "FIREFUSION_CACHE": str(machine / "cache"), "PATH": programs}
    app = "firefusion_assets.orchestration.celery_worker"
    with (machine / "log").open("wb") as log:
        process = subprocess.Popen(
            cli_command("dagster-celery", "worker", "start", "-A", app, "-q", queue),
            env={**environment, **own}, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for master in psutil.Process(process.pid).children() if process.poll() is None else ():
            master.terminate()
        with suppress(subprocess.TimeoutExpired):  # it ends its step first
            process.wait(timeout=60)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(what: Callable[[], bool], run: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 900
    while not what():
        assert run.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def in_the_middle_of(pieces: str, machine: Path) -> bool:
    """Tell whether a step of a machine has begun one of these pieces and not finished it."""
    return any((machine / "cache").rglob(f"{pieces}/.work/**/checkpoint-*"))


def in_bucket(url: str) -> dict[str, Any]:
    """Return the contents of all objects in a bucket, by the names in their manifests, but for what they cost."""
    bucket, found = Bucket(url), dict[str, Any]()
    for key in bucket.sizes(""):
        folder, _, name = key.rpartition("/")
        if name == "manifest.json":
            found[key] = manifest = json.loads(bucket.read(key) or b"")
            del manifest["cost"]
            for file, entry in manifest["files"].items():
                found[f"{folder}/{file}"] = bucket.read(f"{folder}/{entry['sha256']}")
    return found


def processes_with(value: str) -> list[int]:
    """Return the processes that have a value in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and value in process.environ().values():
                found.append(process.pid)
        except psutil.Error:
            continue  # it has ended, or is another user's
    return found


def test_a_key_survives_killed_workers_and_its_bytes_are_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", STUDY + "replicates: {count: 4}\n", {"native": NATIVE})
    plain = cli_environment(study, tmp_path / "alone") | {"FIREFUSION_ARTIFACTS": str(tmp_path / "folder")}
    with (
        postgres_server() as postgres,
        redis_server(tmp_path / "redis") as broker,
        bucket_server(tmp_path / "server") as server,
    ):
        environment = {
            **cli_environment(study, home(tmp_path / "user"), executor="celery"),
            **server.environment,
            "FIREFUSION_POSTGRES": postgres,
            "FIREFUSION_CELERY_BROKER": broker,
            "FIREFUSION_ARTIFACTS": BUCKET,
            "FIREFUSION_CACHE": str(tmp_path / "user" / "cache"),
            "FIREFUSION_FANOUT": "4",
        }
        pool = cli_command("dagster", "instance", "concurrency", "set", "gpu", "4")
        subprocess.run(pool, env=environment, check=True, capture_output=True)
        with (
            worker(tmp_path / "cpu-1", "dagster", environment),
            worker(tmp_path / "cpu-2", "dagster", environment),
            worker(tmp_path / "gpu-1", "gpu", environment) as lost,
            (tmp_path / "run").open("wb") as log,
        ):
            run = subprocess.Popen(cli_command(*RUN), env=environment, stdout=log, stderr=log, cwd=REPOSITORY)
            try:
                wait_for(lambda: in_the_middle_of("fitted_models", tmp_path / "gpu-1"), run)
                (master,) = psutil.Process(lost.pid).children()
                (step,) = master.children()
                step.kill()  # as a system does that runs out of memory: the worker lives
                wait_for(lambda: in_the_middle_of("trained_networks", tmp_path / "gpu-1"), run)
                os.killpg(lost.pid, signal.SIGKILL)  # as if its machine went
                with worker(tmp_path / "gpu-2", "gpu", environment):
                    # Most of the time is waiting for the lost worker's lease to end.
                    alone = subprocess.run(cli_command(*RUN), env=plain, capture_output=True, text=True, cwd=REPOSITORY)
                    ended = run.wait(timeout=600)
            finally:
                run.kill()
        logs = [path.read_text()[-3000:] for path in (tmp_path / "run", *tmp_path.glob("gpu-*/log"))]
        assert ended == 0 and alone.returncode == 0, "\n".join([alone.stderr, *logs])
        assert not processes_with(broker)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        made = in_bucket(f"{BUCKET}/tiny")
    assert len(made) > 60 and made == objects(tmp_path / "folder" / "tiny")
