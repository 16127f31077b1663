"""Dagster's instance in DAGSTER_HOME: where that is, and how it is opened."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import Final

import dagster as dg
from filelock import FileLock

_PROJECT: Final = Path(__file__).parents[2]


def home_folder() -> Path:
    """Return where DAGSTER_HOME is, or would be: that of `make ui` where the environment names none."""
    beside = _PROJECT if (_PROJECT / "dagster.yaml").is_file() else Path.cwd()
    return Path(environ.get("DAGSTER_HOME") or beside / ".dagster_home").resolve()


def dagster_home() -> Path:
    """Return DAGSTER_HOME, set in the environment; the folder is made."""
    given, home, settings = environ.get("DAGSTER_HOME"), home_folder(), _PROJECT / "dagster.yaml"
    home.mkdir(parents=True, exist_ok=True)
    if not given and settings.is_file() and not (home / settings.name).exists():
        shutil.copy(settings, home)
    environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """Open the instance of DAGSTER_HOME.

    Dagster sets up the databases of an empty one while it is opened, and fails where two do so at once: hence the lock.
    """
    with FileLock(dagster_home() / ".opening.lock"):
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
