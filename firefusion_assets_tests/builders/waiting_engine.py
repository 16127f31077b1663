"""An engine whose fitting takes a device for a while, and tells which one and when; a package brings it."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Literal, NamedTuple

from firefusion_assets.engines.unpainted import Unpainted
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.engine import Run
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.studies import REPOSITORY, lineage_of, write_study


class WaitingGenerator(Unpainted):
    """Fits nothing, and takes its time."""

    engine: Literal["waiting"]
    """Which generator paints."""
    seconds: float
    """How long it takes."""
    number: int
    """What makes its model another one."""
    meets: int
    """It ends as soon as so many have begun; with 0 it takes all of its time."""

    def fit(self, train: PatchPart, work: Path, run: Run) -> dict[str, float]:
        super().fit(train, work, run)
        began = time.time()
        (work / "began").touch()
        others = work.parents[2]  # where all models are made
        while time.time() < began + self.seconds and not 0 < self.meets <= len([*others.rglob("began")]):
            time.sleep(0.1)
        return {"device": float(os.environ["CUDA_VISIBLE_DEVICES"]), "began": began, "ended": time.time()}


class Fit(NamedTuple):
    """Which device a fitting had, and from when to when (s)."""

    device: float
    began: float
    ended: float


def fits_on_two_devices(folder: Path, n_keys: int, seconds: float, meets: int = 0) -> list[Fit]:
    """Fit so many configs by one command, on a machine that seems to have two GPUs, one slot of the pool each."""
    configs = {
        f"config-{number}": f"generator: {{engine: waiting, seconds: {seconds}, number: {number}, meets: {meets}}}"
        for number in range(n_keys)
    }
    study, home, metadata = write_study(folder / "study", configs=configs), folder / "home", folder / "w-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: w\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[firefusion.engines]\nwaiting = {__name__}:WaitingGenerator\n")
    environment = cli_environment(study, home, "multiprocess") | {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]),
    }
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    for command in (
        ("dagster", "instance", "concurrency", "set", "gpu", "2"),
        ("firefusion", "run", *configs, "--to", "finetuned_model"),
    ):
        subprocess.run(cli_command(*command), env=environment, cwd=REPOSITORY, check=True, timeout=580)
    facts = [lineage.store.pointed("finetuned_model", key) for lineage in [lineage_of(study)] for key in configs]
    return [Fit(*(made.facts[name] for name in Fit._fields)) for made in facts if made is not None]
