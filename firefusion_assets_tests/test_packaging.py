"""The wheel holds all that a user without a checkout needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.studies import REPOSITORY

pytestmark = pytest.mark.slow
pytest.importorskip("setuptools", reason="builds a wheel without asking a registry")


def python(*arguments: str | Path, folder: Path, path: str = "") -> str:
    environment = os.environ | {"PYTHONPATH": path}
    run = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_a_wheel_starts_a_study_outside_of_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    skipped = shutil.ignore_patterns("__pycache__", "artifacts", "*.egg-info")
    for name in ("firefusion_assets", "data", "docs"):
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    built = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path / "wheel", source)
    python(*built, folder=tmp_path)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")
    assert (site / "firefusion_assets" / "report" / "report.html").is_file()
    for name in ("py.typed", "report/gallery.html", "docs/studies.md", "docs/ui.png"):
        assert (site / "firefusion_assets" / name).is_file(), name

    python("-m", "firefusion_assets.cli", "init", "mine", "--like", "demo", folder=tmp_path, path=str(site))
    printed = python("-m", "firefusion_assets.cli", "check", "--study", "mine", folder=tmp_path, path=str(site))
    assert "6 configs" in printed and "No problem found." in printed
    where = python("-c", "import firefusion_assets; print(firefusion_assets.__file__)", folder=tmp_path, path=str(site))
    assert where.startswith(str(site))
