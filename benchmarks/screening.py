"""Screening 1,000 patches of 256 px with every rule, against painting them by `native`; and whether memory grows."""

import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pandas as pd

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.engines.copy_paste.settings import CopyPasteGenerator
from firefusion_assets.engines.native.settings import NativeGenerator
from firefusion_assets.ingest.base_store import BASE_STORE, TABLE, ingest
from firefusion_assets.ingest.sources.listing import list_source
from firefusion_assets.inpainting.mask_kinds import TransplantedMasks
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.patchstore import Patches, PatchPart
from firefusion_assets.study import Study
from firefusion_assets.study.augmentation import Sampling, Screening
from firefusion_assets.study.engine import Engine, Run
from firefusion_assets.study.models import Backgrounds
from firefusion_assets.study.registry import known
from firefusion_assets.study.rule import Rule
from firefusion_assets_tests.builders.memory import watched_rss_anon

_SCENES: Final = 15
_PATCHES_A_SCENE: Final = 12
_PLANNED: Final = 48
_SCREENED: Final = 1000
_BATCH: Final = 16


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield patches a second, and the peak RssAnon in MiB of few patches and of many."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        part, table = _part(folder / "data")
        sampling = Sampling(images=_PLANNED, max_tries=_PLANNED, steps=8, batch_size=_BATCH)
        write_plan(part, table, Backgrounds(), TransplantedMasks(), sampling, Draw(0, 0, 1), folder)
        plan = Plan.read(folder, part.meta.patch_size)
        # What it costs to paint doesn't depend on how well a network was trained.
        native = NativeGenerator(engine="native", crop=64, steps=1)
        _, painting = _painted(native, part, plan, sampling, folder / "native")
        painted, _ = _painted(CopyPasteGenerator(engine="copy-paste"), part, plan, sampling, folder / "copy-paste")
        rules = [{"rule": name} for name in known(Rule)]
        began = time.perf_counter()
        screen = Screen(Screening.model_validate({"detectors": ["murphy"], "rules": rules}), part)
        fitting = time.perf_counter() - began
        peaks = []
        for n in (_SCREENED // 4, _SCREENED):
            with watched_rss_anon() as peak:
                began = time.perf_counter()
                for number in islice(cycle(range(len(plan.rows))), n):
                    row = plan.rows.iloc[number]
                    background, sun = part.read(row["background"]), float(table.loc[row["background"], "sun_elevation"])
                    screen(background, painted[number], plan.labels[number], plan.edits[number], sun)
                screening = time.perf_counter() - began
            peaks.append(peak.mib)
    speeds = _SCREENED / (fitting + screening), len(plan.rows) / painting
    yield f"screening with {len(rules)} rules, 256 px patches/s (painting by native)", *speeds
    yield f"screening {_SCREENED} patches, peak RssAnon MiB (a quarter of them)", peaks[1], peaks[0]


def _part(folder: Path) -> tuple[PatchPart, pd.DataFrame]:
    dataset = {"source": "simulated", "scenes": _SCENES, "patches_per_scene": _PATCHES_A_SCENE, "patch_size": 256}
    study = Study.model_validate({"name": "bench", "dataset": dataset, "training": {"bands": ["B7"]}})
    folder.mkdir()
    source = list_source(study, folder, ArtifactStore(folder / "store"), _silent)
    ingest(study, source, folder, _silent)
    patches = Patches(folder / BASE_STORE)
    return PatchPart(patches, patches.base_ids), pd.read_parquet(folder / TABLE).set_index("patch_id")


def _painted(engine: Engine, part: PatchPart, plan: Plan, sampling: Sampling, model: Path) -> tuple[np.ndarray, float]:
    """Return what an engine paints down a plan, and the seconds that took."""
    model.mkdir()
    engine.fit(part, model, Run(_silent))
    painter = engine.load(model, sampling)
    images, seconds = [], 0.0
    for start in range(0, len(plan.rows), _BATCH):
        some = np.s_[start : start + _BATCH]
        backgrounds = np.stack([part.read(background).bands for background in plan.rows["background"][some]])
        began = time.perf_counter()
        images.append(
            painter.paint(backgrounds, plan.labels[some], plan.edits[some], plan.rows["seed"].to_numpy(np.int64)[some])
        )
        seconds += time.perf_counter() - began
    return np.concatenate(images), seconds


def _silent(line: str) -> None:
    """Say nothing."""
