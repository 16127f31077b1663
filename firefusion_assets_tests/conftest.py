"""Fixtures of all tests."""

import os

import pytest

from firefusion_assets_tests.builders.studies import LoadDefinitions, loaded

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def load_definitions(monkeypatch: pytest.MonkeyPatch) -> LoadDefinitions:
    """Load the code location anew for a study, as a new process would."""
    return lambda study: loaded(study, monkeypatch)
