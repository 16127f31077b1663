"""Fixtures of all tests."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from firefusion_assets_tests.builders.studies import LoadDefinitions, loaded

CORES = os.sched_getaffinity(0)

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes depends on what else the machine does.
settings.register_profile("firefusion", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("firefusion")


@pytest.fixture
def load_definitions(monkeypatch: pytest.MonkeyPatch) -> LoadDefinitions:
    """Load the code location anew for a study, as a new process would."""
    return lambda study: loaded(study, monkeypatch)


def pytest_configure(config: pytest.Config) -> None:
    """Give each of xdist's workers a core of its own.

    Else every lineage starts as many trainings as there are cores, each a process that imports torch first, which takes
    longer than its training.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.sched_setaffinity(0, {sorted(CORES)[int(worker.removeprefix("gw")) % len(CORES)]})


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that the workers end at about the same time; leave faults to who asks for them."""
    if "faults" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("faults"):
                item.add_marker(pytest.mark.skip(reason="causes faults for minutes: make test-faults"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def all_cores() -> Iterator[None]:
    """Let a test and its processes use all cores, as a run does."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    yield
    os.sched_setaffinity(0, own)
