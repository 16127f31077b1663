"""The first runs on an empty instance, at the same moment: Dagster sets up its databases and the pool once."""

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.databases import postgres_server
from firefusion_assets_tests.builders.studies import REPOSITORY

pytestmark = pytest.mark.slow

FIRST = """
import multiprocessing, os, sys
from firefusion_assets.orchestration.instance import open_instance
from firefusion_assets.orchestration.slots import set_up_pool

def begin(home, together):
    os.environ["DAGSTER_HOME"] = home
    together.wait()
    with open_instance() as instance:
        together.wait()
        set_up_pool(instance)
        (pool,) = instance.event_log_storage.get_pool_limits()
        assert (pool.name, pool.limit) == ("gpu", 1)

forked = multiprocessing.get_context("fork")  # what takes long, imports, is done once
together = forked.Barrier(len(sys.argv) - 1, timeout=100)
runs = [forked.Process(target=begin, args=[home, together]) for home in sys.argv[1:]]
for run in runs:
    run.start()
for run in runs:
    run.join()
print([run.exitcode for run in runs])
"""
AT_ONCE = 4


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
def test_first_runs_at_the_same_moment_all_begin(storage: str, tmp_path: Path) -> None:
    with postgres_server() if storage == "postgres" else nullcontext("") as address:
        # On a database each user, or machine, has a home of its own.
        homes = [tmp_path / f"home-{user if address else 0}" for user in range(AT_ONCE)]
        for home in {*homes}:
            home.mkdir()
            shutil.copy(REPOSITORY / ("deploy" if address else "") / "dagster.yaml", home)
        begun = subprocess.run(
            [sys.executable, "-c", FIRST, *map(str, homes)],
            env=os.environ | {"FIREFUSION_POSTGRES": address},
            capture_output=True, text=True, cwd=REPOSITORY, timeout=250,
        )  # fmt: skip
    assert begun.stdout == f"{[0] * AT_ONCE}\n", begun.stderr
