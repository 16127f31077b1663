"""Painting by several processes: the same bytes as by one, whatever is begun beyond the stop or killed halfway."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import pytest
import torch

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.engines.copy_paste.painter import CopyPastePainter
from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.inpainting.chunks import PaintJob
from firefusion_assets.inpainting.mask_kinds import TransplantedMasks
from firefusion_assets.inpainting.painting import SyntheticPatches, paint
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.inpainting.screening import Screen, Verdict
from firefusion_assets.inpainting.verdicts import screen_painted
from firefusion_assets.patchstore import Patch, Patches, PatchPart
from firefusion_assets.study.augmentation import Sampling, Screening
from firefusion_assets.study.engine import Painter
from firefusion_assets.study.models import Backgrounds
from firefusion_assets_tests.builders.commands import cli_environment
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.parts import make_part, table_of
from firefusion_assets_tests.builders.studies import REPOSITORY

MOVED = TransplantedMasks()

pytestmark = pytest.mark.slow

SIZE = 32
SAMPLING = Sampling(images=11, max_tries=40, batch_size=2, steps=2)


class PickyScreen(Screen):
    """Lets some of what is painted pass and not all, so that where painting stops depends on every image."""

    def __call__(self, background: Patch, painted: npt.NDArray[np.uint16], *masks_and_sun: Any) -> Verdict:
        return replace(super().__call__(background, painted, *masks_and_sun), accepted=bool(painted.sum() % 3))


class PainterInCompany:
    """Copy-paste that starts when several processes have come to paint, and takes its time.

    Args:
        folder: the model folder.
        meeting: folder in which each process leaves its mark.
        processes: how many have to come.
    """

    def __init__(self, folder: Path, meeting: Path, processes: int) -> None:
        self._painter = CopyPastePainter(folder)
        self._meeting, self._processes = meeting, processes

    def paint(self, *arguments: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        self._meeting.mkdir(parents=True, exist_ok=True)
        (self._meeting / str(os.getpid())).touch()
        deadline = time.monotonic() + 100
        while len(list(self._meeting.iterdir())) < self._processes:
            assert time.monotonic() < deadline, "too few processes paint"
            time.sleep(0.02)
        time.sleep(0.1)
        return self._painter.paint(*arguments)


def prepare(root: Path) -> None:
    """Lay down what all runs start from: patches, a model of engine `copy-paste`, a plan."""
    part = make_part(root / "store", SIZE)
    fit(CopyPasteGenerator(engine="copy-paste"), part, root / "model")
    write_plan(part, table_of(part), Backgrounds(), MOVED, SAMPLING, Draw(0, 0, 1), root / "plan")


def paint_below(root: Path, run: Path, shards: int, load_painter: Callable[[], Painter]) -> Mapping[str, Any]:
    """Paint the plan below `root` with a store and a folder of this run's own."""
    patches = Patches(root / "store")
    part = PatchPart(patches, patches.base_ids)
    table = pd.DataFrame({"crs": "EPSG:32633", "transform": [[30.0, 0, 0, 0, -30, 0]] * len(part), "sun_elevation": 50})
    job = PaintJob(
        fold=0, replicate=0, part=part, table=table.set_axis(part.ids), plan=Plan.read(root / "plan", SIZE),
        sampling=SAMPLING, engine="copy-paste", model="model", patches="patches", bit_depths=[16] * SAMPLING.tries,
    )  # fmt: skip
    store = ArtifactStore(run / "artifacts")
    return paint(job, load_painter, PickyScreen(Screening(), part), store, run / "fold-0", print, shards)


def paint_slowly(root: Path, run: Path) -> None:
    """Be the process that is killed."""
    paint_below(root, run, 2, partial(PainterInCompany, root / "model", run / "meeting", 2))


def painted_files(run: Path) -> dict[str, bytes]:
    """Return what a run left in its folder: the bytes of its chunks, the records of its provenance."""
    files = {path.name: path.read_bytes() for path in (run / "fold-0").glob("*.npy")}
    files["provenance"] = pd.read_parquet(run / "fold-0" / "provenance.parquet").to_json().encode()
    files["screening"] = (run / "fold-0" / "screening.json").read_bytes()
    assert len(files) == len(list((run / "fold-0").iterdir()))
    return files


def chunks(run: Path) -> set[Path]:
    return set((run / "artifacts" / "painted_chunks").glob("*/manifest.json"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def load_copy_paste(root: Path) -> Callable[[], Painter]:
    return partial(CopyPasteGenerator(engine="copy-paste").load, root / "model", SAMPLING)


@pytest.fixture(scope="module")
def one_shard(root: Path, load_copy_paste: Callable[[], Painter]) -> tuple[Path, Mapping[str, Any]]:
    """A run in this process alone, and its facts."""
    return root / "one", paint_below(root, root / "one", 1, load_copy_paste)


def test_four_shards_leave_the_bytes_of_one_and_stop_where_it_does(
    root: Path, one_shard: tuple[Path, Mapping[str, Any]]
) -> None:
    one, facts = one_shard
    n_chunks = len(chunks(one))
    # The plan goes on behind the stop, and some of what is painted before it doesn't pass.
    assert 4 < n_chunks < SAMPLING.tries // SAMPLING.batch_size - 4
    assert SAMPLING.images <= facts["n_passed"] < facts["n_painted"] == n_chunks * SAMPLING.batch_size
    four = root / "four"
    assert paint_below(root, four, 4, partial(PainterInCompany, root / "model", four / "meeting", 4)) == facts
    assert len(list((four / "meeting").iterdir())) == 4
    # What was begun beyond the stop lies in the store, for a larger dose to find, and nowhere else.
    assert len(chunks(four)) > n_chunks
    assert painted_files(four) == painted_files(one)


def test_a_device_that_holds_one_patch_paints_the_same_and_chunks_say_so(
    root: Path, one_shard: tuple[Path, Mapping[str, Any]], load_copy_paste: Callable[[], Painter]
) -> None:
    tried: list[int] = []

    class SmallPainter:
        def __init__(self) -> None:
            self._painter = load_copy_paste()

        def paint(self, *arguments: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
            tried.append(len(arguments[0]))
            if len(arguments[0]) > 1:
                raise torch.OutOfMemoryError("no room")
            return self._painter.paint(*arguments)

    small = root / "small"
    assert paint_below(root, small, 1, SmallPainter) == one_shard[1]
    assert painted_files(small) == painted_files(one_shard[0])
    assert tried.count(2) == 1, "what is too much is tried once"
    facts = [json.loads(manifest.read_text())["facts"] for manifest in chunks(small)]
    assert all(of_chunk["examples_at_once"] == 1 for of_chunk in facts)


def test_the_chunks_that_shards_paint_count_as_used_by_what_is_being_made(
    root: Path, one_shard: tuple[Path, Mapping[str, Any]], load_copy_paste: Callable[[], Painter]
) -> None:
    run = root / "used"
    made = ArtifactStore(run / "objects").build("painted", "f", lambda work: paint_below(root, run, 2, load_copy_paste))
    assert made.uses is not None
    used = {fingerprint for asset, fingerprint in made.uses if asset == "painted_chunks"}
    assert used == {path.parent.name for path in chunks(one_shard[0])}


def test_a_painted_patch_is_screened_once(root: Path, one_shard: tuple[Path, Mapping[str, Any]]) -> None:
    patches, run = Patches(root / "store"), one_shard[0]
    part, plan = PatchPart(patches, patches.base_ids), Plan.read(root / "plan", SIZE)

    class Never(Screen):
        def __call__(self, *arguments: Any) -> Verdict:
            raise AssertionError("screened again")

    def screened(folder: Path, screen: Screen, into: Path) -> dict[str, bytes]:
        engine = CopyPasteGenerator(engine="copy-paste")
        facts = screen_painted(SyntheticPatches(folder), plan, part, screen, SAMPLING.images, engine, into)
        assert facts["n_images"] == SAMPLING.images
        return {path.name: path.read_bytes() for path in into.iterdir()}

    kept = screened(run / "fold-0", Never(Screening(), part), root / "kept")
    # Objects of earlier versions hold no verdicts.
    older = shutil.copytree(run / "fold-0", root / "older")
    for file in older.glob("scree*"):
        file.unlink()
    assert screened(older, PickyScreen(Screening(), part), root / "anew") == kept


def test_painting_killed_halfway_ends_with_its_processes_and_goes_on_to_the_same_bytes(
    root: Path, one_shard: tuple[Path, Mapping[str, Any]], load_copy_paste: Callable[[], Painter]
) -> None:
    one, facts = one_shard
    killed = root / "killed"
    script = f"from pathlib import Path; from {paint_slowly.__module__} import paint_slowly as paint; "
    script += f"paint(Path({str(root)!r}), Path({str(killed)!r}))"
    run = subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=cli_environment(root, root), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 100
    while len(chunks(killed)) < 3:
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait(timeout=30)  # a killed process ends as soon as the kernel lets it
    assert len(children) >= 2
    assert not psutil.wait_procs(children, timeout=10)[1], "painting went on without the process that wanted it"
    assert not (killed / "fold-0" / "provenance.parquet").exists()
    kept = {path: path.stat().st_mtime_ns for path in chunks(killed)}
    assert 3 <= len(kept) < len(chunks(one))

    assert paint_below(root, killed, 2, load_copy_paste) == facts
    assert painted_files(killed) == painted_files(one)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


@pytest.mark.faults
def test_two_shards_paint_the_same_bytes_with_stable_diffusion(root: Path) -> None:
    # Not above: the processes that paint with copy-paste import this module, and diffusers takes them seconds.
    from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline

    base = save_tiny_pipeline(root / "base")
    generator = StableDiffusionGenerator(
        engine="stable-diffusion", base_model=str(base), method="none", crop=16, resolution=64
    )
    patches = Patches(root / "store")
    fit(generator, PatchPart(patches, patches.base_ids), root / "diffusion")
    load_painter = partial(generator.load, root / "diffusion", SAMPLING)
    runs = {shards: root / f"diffusion-{shards}" for shards in (1, 2)}
    facts = [paint_below(root, run, shards, load_painter) for shards, run in runs.items()]
    assert facts[0] == facts[1] and facts[0]["n_passed"] >= SAMPLING.images
    assert painted_files(runs[1]) == painted_files(runs[2])
