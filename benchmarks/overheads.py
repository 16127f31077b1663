"""What comes on top of a study's own work: Dagster, runs that find everything finished, devices that idle, a bucket."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from firefusion_assets.artifacts.bucket import Bucket
from firefusion_assets.artifacts.store import MANIFEST
from firefusion_assets.lineage.assets import AssetName
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets.orchestration.code_location import build_defs
from firefusion_assets.steps.augmenting import plan_masks, write_config, write_overlay
from firefusion_assets.steps.models import fit_model
from firefusion_assets.steps.painting import paint_config
from firefusion_assets.steps.patches import build_patches, split_scenes
from firefusion_assets.steps.reporting import publish_report
from firefusion_assets.steps.scoring import score_config
from firefusion_assets.steps.screening import screen_config
from firefusion_assets.steps.unets import train_config
from firefusion_assets_tests.builders.bucket_server import bucket_server
from firefusion_assets_tests.builders.commands import run_cli
from firefusion_assets_tests.builders.studies import TINY_CONFIGS, TINY_STUDY, lineage_of, materialize, write_study
from firefusion_assets_tests.builders.waiting_engine import fits_on_two_devices

_KEY: Final = "native"
_CONFIGS: Final = {
    _KEY: """
generator: {engine: native, crop: 32, steps: 300, batch_size: 8, channels: [16, 32]}
sampling: {images: 12, batch_size: 4, steps: 10}
screening: {detectors: [murphy], min_changed: 0, min_detected: 0}
"""
}
_STUDY: Final = """
name: tiny
dataset: {source: simulated, scenes: 6, patches_per_scene: 8, patch_size: 64, fire_share: 0.5, seed: 3}
training: {bands: [B7, B6, B2], filters: 8, steps: 600, batch_size: 8, validate_every: 100}
"""
"""The tests' study with steps of half a minute."""
_STEPS: Final[Mapping[AssetName, Callable[[Lineage, str, Path, Callable[[str], None]], Mapping[str, Any]]]] = {
    "scene_split": split_scenes,
    "augmentation_config": write_config,
    "finetuned_model": fit_model,
    "inpainting_masks": plan_masks,
    "synthetic_images": paint_config,
    "screened_images": screen_config,
    "augmented_lmdb": write_overlay,
    "trained_unet": train_config,
    "dice_metrics": score_config,
}
_RERUN_S: Final = 30.0
_RERUN_FROM_BUCKET_S: Final = 60.0
"""What a run that makes nothing may take."""
_N_KEYS: Final = 10
_FIT_S: Final = 60.0
"""How long a GPU step takes; fitting takes minutes."""


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield each overhead, against plain calls or the limit that it is held to."""
    yield from _from_a_bucket()
    yield from _finished()
    yield from _against_plain_calls()
    yield from _on_two_devices()


def _from_a_bucket() -> Iterator[tuple[str, float, float]]:
    with tempfile.TemporaryDirectory() as folder, bucket_server(Path(folder) / "server") as server:
        study, home = write_study(Path(folder) / "study", configs=TINY_CONFIGS), Path(folder) / "home"

        def on_a_machine(name: str) -> AbstractContextManager[Any]:
            place = {"FIREFUSION_ARTIFACTS": "s3://objects/all", "FIREFUSION_CACHE": f"{folder}/{name}"}
            return patch.dict(os.environ, {**place, **server.environment})

        with on_a_machine("that trains"):
            _run(study, home, "--to", "trained_unet")
        with on_a_machine("that scores"):
            yield "bytes fetched to score a key (of the objects opened)", *_fetched(study)
        with on_a_machine("that is new"):
            yield "a key that is finished, from a bucket, s (limit)", _rerun(study, home), _RERUN_FROM_BUCKET_S


def _finished() -> Iterator[tuple[str, float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        study, home = write_study(Path(folder) / "study", configs=TINY_CONFIGS), Path(folder) / "home"
        _run(study, home)
        yield "a key that is finished, s (limit)", _rerun(study, home), _RERUN_S


def _against_plain_calls() -> Iterator[tuple[str, float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder) / name for name in ("warm", "dagster", "plain")}
        for name, place in places.items():
            write_study(place, *((TINY_STUDY, TINY_CONFIGS) if name == "warm" else (_STUDY, _CONFIGS)))
        materialize(build_defs(lineage_of(places["warm"])), _KEY)  # so that neither pays for imports
        started = time.perf_counter()
        materialize(build_defs(lineage_of(places["dagster"])), _KEY)
        by_dagster = time.perf_counter() - started
        started = time.perf_counter()
        _make_plainly(lineage_of(places["plain"]))
        yield "a key by Dagster in process, s (plain calls)", by_dagster, time.perf_counter() - started


def _on_two_devices() -> Iterator[tuple[str, float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fits = fits_on_two_devices(Path(folder), _N_KEYS, _FIT_S)
        wall = time.perf_counter() - started
        yield (
            f"{_N_KEYS} keys on two devices, s (half of their GPU steps)",
            wall,
            sum(f.ended - f.began for f in fits) / 2,
        )


def _make_plainly(lineage: Lineage) -> None:
    def silent(line: str) -> None:
        """Drop a line of progress."""

    build_patches(lineage, silent)
    for asset, make in _STEPS.items():
        lineage.build(asset, _KEY, partial(make, lineage, _KEY, progress=silent), silent)
    publish_report(lineage, dict, silent)


def _rerun(study: Path, home: Path) -> float:
    """Return the seconds of the command for a key that is finished."""
    started = time.perf_counter()
    _run(study, home)
    return time.perf_counter() - started


def _run(study: Path, home: Path, *options: str) -> None:
    done = run_cli("firefusion", "run", _KEY, *options, study=study, home=home)
    assert done.returncode == 0, done.stdout + done.stderr


def _fetched(study: Path) -> tuple[int, int]:
    """Return the bytes that scoring a key fetches into an empty cache, and those of the objects that they belong to."""
    fetched: list[tuple[str, int]] = []
    fetch = Bucket.fetch

    def counted(bucket: Bucket, key: str, path: Path, n_bytes: int) -> str:
        digest = fetch(bucket, key, path, n_bytes)
        fetched.append((key, path.stat().st_size))
        return digest

    lineage = open_lineage(study)
    with patch.object(Bucket, "fetch", counted):
        materialize(build_defs(lineage), _KEY)
    opened = {"/".join(key.split("/")[:2]) for key, _ in fetched}
    manifests = [json.loads((lineage.store.root / one / MANIFEST).read_text()) for one in opened]
    used = sum(entry["bytes"] for manifest in manifests for entry in manifest["files"].values())
    return sum(n_bytes for _, n_bytes in fetched), used
