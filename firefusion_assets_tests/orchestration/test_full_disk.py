"""A disk that fills up while an object is made or published: one clear error, and the next run goes on."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.store import ArtifactError, ArtifactStore
from firefusion_assets.core.seeding import generator
from firefusion_assets_tests.builders.commands import run_cli
from firefusion_assets_tests.builders.disks import fill, small_disk
from firefusion_assets_tests.builders.published import published
from firefusion_assets_tests.builders.studies import LoadDefinitions, materialize, write_study

pytestmark = pytest.mark.slow

FULL = r"could not be written: .*No space left on device.*\. What was published before is intact; free space"


@pytest.mark.parametrize("n_left", [pytest.param(3 * 4096, marks=pytest.mark.faults), 40 * 4096])
def test_a_disk_that_fills_up_while_scenes_are_simulated_is_told_once(tmp_path: Path, n_left: int) -> None:
    with small_disk(tmp_path / "disk", 32) as disk:
        study, home = write_study(disk / "study"), tmp_path / "home"
        (disk / "study" / "artifacts").mkdir()
        filler = fill(disk, n_left)
        full = run_cli("firefusion", "run", "--to", "landsat_patches", study=study, home=home)
        assert full.returncode == 1
        _, reason = full.stderr.splitlines()
        assert reason.startswith("landsat_patches: made_scenes/") and "No space left on device" in reason
        assert not [*study.glob("artifacts/*/*/manifest.json")]
        filler.unlink()
        assert run_cli("firefusion", "run", "--to", "landsat_patches", study=study, home=home).returncode == 0


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_disk_that_is_full_at_every_object_is_told_and_the_work_goes_on(
    tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full but for some pages when an object is begun, and full when it is first published."""
    # All in this process, which is the one that fills the disk.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    undisturbed = write_study(tmp_path / "study")
    assert materialize(load_definitions(undisturbed), "native").success
    told, refused, rng = list[str](), set[str](), generator(14, "pages left")
    real_make, real_publish = ArtifactStore._make, ArtifactStore._publish
    with small_disk(tmp_path / "disk", 64) as disk:

        def publish(self: ArtifactStore, work: Path, target: Path, manifest: dict[str, Any]) -> None:
            if (place := target.relative_to(self.root).as_posix()) not in refused:
                refused.add(place)
                fill(disk)
            real_publish(self, work, target, manifest)

        def make(
            self: ArtifactStore, asset: str, fingerprint: str, make_it: Callable[[Path], Mapping[str, Any]], *more: Any
        ) -> Artifact:
            def make_into_little(work: Path) -> Mapping[str, Any]:
                fill(disk, 4096 * int(rng.integers(1, 12)))
                return make_it(work)

            for chosen in (make_into_little, make_it, make_it):
                try:
                    return real_make(self, asset, fingerprint, chosen, *more)
                except ArtifactError as error:
                    told.append(str(error))
                finally:
                    (disk / "filler").unlink(missing_ok=True)
            raise AssertionError(told[-1])

        monkeypatch.setattr(ArtifactStore, "_make", make)
        monkeypatch.setattr(ArtifactStore, "_publish", publish)
        study = write_study(disk / "study")
        assert materialize(load_definitions(study), "native").success
        made = published(study / "artifacts")
        assert made == published(undisturbed / "artifacts") and refused == set(made)
        assert len(told) >= len(made) and [line for line in told if not re.search(FULL, line)] == []
        assert not [*study.glob("artifacts/*/.work/*"), *study.rglob("*.partial")]
