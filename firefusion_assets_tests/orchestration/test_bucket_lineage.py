"""The whole lineage with its objects in a bucket: equal to that in a folder, and made once for all machines."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.bucket_server import KEY_ID, SECRET, bucket_server
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.published import objects
from firefusion_assets_tests.builders.studies import REPOSITORY, TINY_CONFIGS, write_study


@pytest.mark.slow
def test_a_second_machine_makes_nothing_and_both_equal_a_folder(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", configs={"copy-paste": TINY_CONFIGS["copy-paste"]})

    def run(name: str, environment: Mapping[str, str], *arguments: str) -> str:
        shell = {**cli_environment(study, tmp_path / f"home-{name}"), **environment}
        done = subprocess.run(
            cli_command("firefusion", *(arguments or ("run", "copy-paste"))),
            env=shell | {"FIREFUSION_CACHE": str(tmp_path / name)},
            capture_output=True, text=True, cwd=REPOSITORY, timeout=280,
        )  # fmt: skip
        assert done.returncode == ("prune" in arguments), done.stdout + done.stderr
        return done.stdout + done.stderr

    with bucket_server(tmp_path / "server") as server:
        run("unused", {"FIREFUSION_ARTIFACTS": str(tmp_path / "folder")})
        place = {"FIREFUSION_ARTIFACTS": "s3://objects/all", **server.environment}
        first, second = run("first", place), run("second", place)
        status, verified, pruned = (run("third", place, command) for command in ("status", "verify", "prune"))
    assert "objects in s3://objects/all/tiny" in status and re.search(r"copy-paste +all +current", status)
    assert "objects in s3://objects/all/tiny: every file in the bucket has its size" in verified
    assert "objects of a bucket aren't pruned" in pruned
    # Whether enough is tested follows from the split's table.
    assert {path.parents[1].name for path in (tmp_path / "third").rglob("manifest.json")} == {"scene_split"}
    in_folder, made, fetched = (
        objects(tmp_path / name / "tiny") for name in ("folder", "first/s3/objects/all", "second/s3/objects/all")
    )
    assert {name: made[name] for name in fetched} == fetched
    # A report holds hours and peaks of memory.
    in_folder, equal = ({name: one[name] for name in one if "report" not in name} for one in (in_folder, made))
    assert len(equal) > 30 and equal == in_folder
    assert first.count(" made in ") == 11 and second.count(" found") == 11
    # Parts that only makers read weren't fetched.
    assert {name.split("/")[0] for name in made} - {name.split("/")[0] for name in fetched} == {
        "detector_scores", "fitted_models", "made_scenes", "painted_chunks", "painted_replicates", "scored_networks",
        "train_statistics", "trained_networks",
    }  # fmt: skip
    for folder in ("first", "second", "home-first", "home-second", "study"):
        for path in (path for path in (tmp_path / folder).rglob("*") if path.is_file()):
            content = path.read_bytes()
            assert SECRET.encode() not in content and KEY_ID.encode() not in content, path
    assert SECRET not in first + second and os.environ.get("AWS_SECRET_ACCESS_KEY") != SECRET
