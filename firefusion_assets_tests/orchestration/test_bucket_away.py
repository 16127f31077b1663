"""A bucket that is away for a minute in the middle of a run: the run waits for it and goes on."""

import time
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.bucket_server import bucket_server
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.killing import started, wait_until
from firefusion_assets_tests.builders.studies import write_study

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def test_a_run_goes_on_when_its_bucket_was_away_for_a_minute(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    with bucket_server(tmp_path / "server") as server:
        environment = cli_environment(study, tmp_path / "home") | {
            "FIREFUSION_ARTIFACTS": "s3://objects/away", "FIREFUSION_CACHE": str(tmp_path / "cache"),
            **server.environment,
        }  # fmt: skip
        run = started(cli_command("firefusion", "run", "copy-paste"), environment)
        cache = tmp_path / "cache" / "s3" / "objects" / "away" / "tiny"
        wait_until(lambda: [*cache.glob("scene_split/*/manifest.json")], run)
        server.stop()
        time.sleep(60)
        assert run.poll() is None
        server.start()
        assert run.wait(timeout=400) == 0
    assert len([*cache.glob("augmentation_report/*/manifest.json")]) == 1
