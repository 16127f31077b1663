"""One key on celery's workers, each as on a machine of its own, of which some are lost: nothing of it is."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from firefusion_assets_tests.builders.bucket_server import bucket_server
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.databases import postgres_server, redis_server
from firefusion_assets_tests.builders.published import objects
from firefusion_assets_tests.builders.slow_study import SLOWER, SLOWER_STUDY
from firefusion_assets_tests.builders.studies import REPOSITORY, write_study

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif("FIREFUSION_TEST_CLUSTER" not in os.environ, reason="takes minutes: make test-cluster"),
]
WORKER = "firefusion_assets.orchestration.celery_worker"
BUCKET = "s3://objects/cluster"


@contextmanager
def worker(machine: Path, queue: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker of a queue that shares nothing with others but study, bucket and database."""
    own = {"DAGSTER_HOME": str(home(machine)), "FIREFUSION_CACHE": str(machine / "cache")}
    path = os.pathsep.join([str(Path(cli_command("celery")[0]).parent), os.environ["PATH"]])
    with (machine / "log").open("wb") as log:
        process = subprocess.Popen(
            cli_command("dagster-celery", "worker", "start", "-A", WORKER, "-q", queue),
            env={**environment, **own, "PATH": path}, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for member in psutil.Process(process.pid).children() if process.poll() is None else ():
            member.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def home(machine: Path) -> Path:
    folder = machine / "home"
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "deploy" / "dagster.yaml", folder)
    return folder


def wait_for(what: Callable[[], bool], run: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 400
    while not what():
        assert run.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def checkpoints(machine: Path, asset: str) -> bool:
    """Tell whether a step of a machine is in the middle of making pieces of an asset."""
    return any((machine / "cache").rglob(f"{asset}/.work/**/checkpoint-*"))


def test_a_key_survives_workers_that_are_killed_and_its_bytes_are_those_of_one_process(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", SLOWER_STUDY + "split: {folds: 3}\n", SLOWER)
    with (
        postgres_server() as postgres,
        redis_server(tmp_path / "redis") as broker,
        bucket_server(tmp_path / "bucket") as server,
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
            run = subprocess.Popen(
                cli_command("firefusion", "run", "native", "--to", "dice_metrics"),
                env=environment, stdout=log, stderr=log, cwd=REPOSITORY,
            )  # fmt: skip
            wait_for(lambda: checkpoints(tmp_path / "gpu-1", "fitted_models"), run)
            (master,) = psutil.Process(lost.pid).children()
            (step,) = master.children()
            step.kill()  # as a system does that runs out of memory; its worker lives
            wait_for(lambda: checkpoints(tmp_path / "gpu-1", "trained_networks"), run)
            os.killpg(lost.pid, signal.SIGKILL)  # as a machine goes
            with worker(tmp_path / "gpu-2", "gpu", environment):
                ended = run.wait(timeout=500)
        logs = {path.parent.name: path.read_text()[-3000:] for path in tmp_path.glob("*pu-*/log")}
        assert ended == 0, ((tmp_path / "run").read_text(), logs)
        assert not [
            one.pid for one in psutil.process_iter() if _environment(one).get("FIREFUSION_CELERY_BROKER") == broker
        ]

        # A machine that only fetches has all objects in its cache.
    one = environment | {
        "FIREFUSION_EXECUTOR": "in_process",
        "FIREFUSION_FANOUT": "1",
        "FIREFUSION_ARTIFACTS": str(tmp_path / "one"),
    }
    one["DAGSTER_HOME"] = str(tmp_path / "plain")
    alone = subprocess.run(
        cli_command("firefusion", "run", "native", "--to", "dice_metrics"),
        env=one,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert alone.returncode == 0, alone.stderr
    raise AssertionError(len(objects(tmp_path / "one" / "tiny")))


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
