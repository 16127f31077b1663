"""Chunks of a plan, painted in this process or in several, always in the plan's order.

A chunk is an object of the artifact store: a resumed run goes on behind the last one, and configs that would
paint the same (a smaller and a larger dose, another screening) share them.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.core.workers import Workers
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.engine import Painter

_LOG = logging.getLogger(__name__)
CHUNKS: Final = "painted_chunks"
_VERSION: Final = 2
_NOT_PAINT: Final = {"images", "max_tries", "pairing", "seeds_per_pair", "seed"}
"""Settings of `sampling` that say what is painted, not how: the plan's rows hold their outcome."""


@dataclass(frozen=True)
class PaintJob:
    """What one replicate of one config paints.

    Attributes:
        fold: number of the fold.
        replicate: number of the replicate.
        part: its train part, which holds the backgrounds.
        table: patches indexed by patch_id, with crs, transform and sun_elevation.
        plan: what to paint.
        sampling: how.
        engine: name of the engine.
        model: fingerprint of the model.
        patches: fingerprint of the base store.
        bit_depths: of each row of the plan, how many bits a band of what is painted has.
    """

    fold: int
    replicate: int
    part: PatchPart
    table: pd.DataFrame
    plan: Plan
    sampling: Sampling
    engine: str
    model: str
    patches: str
    bit_depths: Sequence[int]


class Chunk(NamedTuple):
    """A painted part of the plan.

    Attributes:
        number: from 0.
        places: rows of the plan.
        artifact: its `painted.npy` is uint16 (N, C, H, W).
    """

    number: int
    places: range
    artifact: Artifact


@contextmanager
def painted_chunks(
    job: PaintJob,
    load_painter: Callable[[], Painter],
    store: ArtifactStore,
    progress: Callable[[str], None],
    shards: int,
) -> Iterator[Iterator[Chunk]]:
    """Give the chunks of a plan in order; what is not asked for is not painted, but for what shards have begun.

    Args:
        job: what to paint.
        load_painter: called once in each process that has to paint.
        store: where the chunks lie.
        progress: called when a chunk is awaited from another run.
        shards: processes that paint; 1 is this process.
    """
    size, n_rows = job.sampling.batch_size, len(job.plan.rows)
    places = [range(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
    worker = _Worker(job, load_painter, store)
    if shards == 1:
        yield (Chunk(n, rows, worker.chunk(rows, progress)) for n, rows in enumerate(places))
        return
    with Workers(shards, partial(_painting, worker), _name, progress) as painters:
        finished = zip(places, painters.in_order(places, shards - 1), strict=True)
        # Asked for here too, where it is found: only then does the store note it as used by what is being made.
        yield (Chunk(n, rows, worker.chunk(rows, progress)) for n, (rows, _) in enumerate(finished))


class _Worker:
    """Paints chunks in one process; the painter is loaded when it is first needed."""

    def __init__(self, job: PaintJob, load_painter: Callable[[], Painter], store: ArtifactStore) -> None:
        from firefusion_assets.core.memory import Parts  # brings torch, seconds that whoever plans or finds saves

        self._job, self._load, self._store = job, load_painter, store
        self._painter: Painter | None = None
        self._parts = Parts("a single patch is too large for it; make the windows of the model smaller", _LOG.warning)

    def chunk(self, places: range, progress: Callable[[str], None]) -> Artifact:
        """Return a painted chunk, made by this process unless it is finished."""
        job = self._job
        plan, here = job.plan, slice(places.start, places.stop)
        rows = plan.rows.iloc[here]
        labels, edits = plan.labels[here], plan.edits[here]

        def make(work: Path) -> Mapping[str, Any]:
            backgrounds = np.stack([job.part.read(background).bands for background in rows["background"]])
            grounds = np.stack([plan.ground(place, job.part).bands for place in places]) if plan.beside else backgrounds
            painted = self._paint(grounds, labels, plan.fires[here], rows["seed"].to_numpy(np.int64))
            np.save(work / "painted.npy", painted)
            outside = ~edits[:, None] & (painted != backgrounds)
            return {"n_patches": len(rows), "n_values_changed_outside": int(outside.sum()), **self._parts.facts}

        settings = job.sampling.model_dump(mode="json", exclude=_NOT_PAINT)
        planes = [labels, edits, *((plan.beside.plumes[here], plan.beside.scars[here]) if plan.beside else ())]
        masks = [np.packbits(plane).tobytes().hex() for plane in planes]
        made_from = [CHUNKS, _VERSION, job.model, job.patches, settings, rows.to_dict("records"), digest(masks)]
        if plan.beside:
            made_from.append(plan.beside.measured.model_dump(mode="json"))
        return self._store.build(CHUNKS, digest(made_from), make, progress)

    def _paint(self, *arguments: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        if self._painter is None:
            self._painter = self._load()
        return self._parts.joined(self._painter.paint, *arguments)


def _name(places: range) -> str:
    return f"painting of rows {places.start} to {places.stop - 1} of the plan"


def _painting(worker: _Worker, slot: int) -> Callable[[range, Callable[[str], None]], Artifact]:
    """Give a process a device of its own and return how it paints."""
    from firefusion_assets.core.devices import take_device

    take_device(slot)
    return worker.chunk
