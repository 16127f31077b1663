"""Painting down a plan, chunk by chunk, until enough patches pass the screening.

A chunk is an object of the artifact store: a resumed run goes on behind the last one, and configs that would
paint the same (a smaller and a larger dose, another screening) share them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.artifacts.lineage import digest
from firefusion_assets.artifacts.store import Artifact, ArtifactStore, link
from firefusion_assets.inpainting.engines import Painter
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.augmentation import Sampling

CHUNKS: Final = "painted_chunks"
_VERSION = 1


@dataclass(frozen=True)
class PaintJob:
    """What one fold of one config paints.

    Attributes:
        fold: number of the fold.
        part: its train part, which holds the backgrounds.
        table: patches indexed by patch_id, with crs, transform and sun_elevation.
        plan: what to paint.
        sampling: how.
        engine: name of the engine.
        model: fingerprint of the model.
        patches: fingerprint of the base store.
    """

    fold: int
    part: PatchPart
    table: pd.DataFrame
    plan: Plan
    sampling: Sampling
    engine: str
    model: str
    patches: str


class SyntheticPatches:
    """The painted patches of one fold, as `paint` wrote them.

    Args:
        folder: the fold's folder.

    Attributes:
        provenance: one row a patch, in painted order; `place` is its position in the plan.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.provenance = pd.read_parquet(folder / "provenance.parquet")

    def read(self, number: int) -> npt.NDArray[np.uint16]:
        """Return one patch by its row in the provenance, uint16 (C, H, W)."""
        row = self.provenance.iloc[number]
        chunk = np.load(self._folder / f"chunk-{row['chunk']:05d}.npy", mmap_mode="r")
        return np.asarray(chunk[row["place_in_chunk"]])

    def __len__(self) -> int:
        return len(self.provenance)


def paint(
    job: PaintJob,
    load_painter: Callable[[], Painter],
    screen: Screen,
    store: ArtifactStore,
    folder: Path,
    progress: Callable[[str], None],
) -> Mapping[str, Any]:
    """Paint one fold's plan until `sampling.images` patches pass the screening, or the plan ends.

    Args:
        job: what to paint.
        load_painter: called when the first chunk has to be painted.
        screen: decides which patches count.
        store: where the chunks lie.
        folder: gets `chunk-NNNNN.npy` (hard links to the chunks) and `provenance.parquet`.
        progress: told after every chunk.

    Returns:
        Facts: patches painted, patches that pass, values that changed outside the edit masks (0 unless an engine
        breaks its contract).
    """
    folder.mkdir(parents=True, exist_ok=True)
    painters: list[Painter] = []

    def painter() -> Painter:
        if not painters:
            painters.append(load_painter())
        return painters[0]

    accepted = painted = changed_outside = 0
    size = job.sampling.batch_size
    for chunk in range(-(-len(job.plan.rows) // size)):
        if accepted >= job.sampling.images:
            break
        places = range(chunk * size, min((chunk + 1) * size, len(job.plan.rows)))
        painted_chunk = _chunk(job, places, painter, store, progress)
        path = painted_chunk.path / "painted.npy"
        link(path, folder / f"chunk-{chunk:05d}.npy")
        accepted += sum(_passes(job, place, image, screen) for place, image in zip(places, np.load(path), strict=True))
        painted += len(places)
        changed_outside += painted_chunk.facts["n_values_changed_outside"]
        progress(f"fold {job.fold}: {painted} painted, {accepted} of {job.sampling.images} accepted")
    _provenance(job, painted).to_parquet(folder / "provenance.parquet", index=False)
    return {"n_painted": painted, "n_passed": accepted, "n_values_changed_outside": changed_outside}


def _chunk(
    job: PaintJob,
    places: range,
    painter: Callable[[], Painter],
    store: ArtifactStore,
    progress: Callable[[str], None],
) -> Artifact:
    """Return a painted chunk, whose `painted.npy` is uint16 (N, C, H, W)."""
    rows = job.plan.rows.iloc[places.start : places.stop]
    labels, edits = (masks[places.start : places.stop] for masks in (job.plan.labels, job.plan.edits))

    def make(work: Path) -> Mapping[str, Any]:
        backgrounds = np.stack([job.part.read(background).bands for background in rows["background"]])
        painted = painter().paint(backgrounds, labels, edits, rows["seed"].to_numpy(np.int64))
        np.save(work / "painted.npy", painted)
        outside = ~edits[:, None] & (painted != backgrounds)
        return {"n_patches": len(rows), "n_values_changed_outside": int(outside.sum())}

    settings = job.sampling.model_dump(mode="json", include={"steps", "batch_size"})
    masks = [np.packbits(masks).tobytes().hex() for masks in (labels, edits)]
    made_from = [CHUNKS, _VERSION, job.model, job.patches, settings, rows.to_dict("records"), digest(masks)]
    return store.build(CHUNKS, digest(made_from), make, progress)


def _passes(job: PaintJob, place: int, image: npt.NDArray[np.uint16], screen: Screen) -> bool:
    background = job.plan.rows["background"].iloc[place]
    sun = float(job.table.loc[background, "sun_elevation"])
    return screen(job.part.read(background), image, job.plan.labels[place], job.plan.edits[place], sun).accepted


def _provenance(job: PaintJob, painted: int) -> pd.DataFrame:
    rows = job.plan.rows.iloc[:painted].reset_index(drop=True)
    place = np.arange(painted)
    backgrounds = job.table.loc[rows["background"], ["crs", "transform", "sun_elevation"]].reset_index(drop=True)
    return rows.assign(
        synthetic_id=[f"synthetic-{job.fold}-{number:06d}" for number in rows["row"]],
        fold=job.fold,
        chunk=place // job.sampling.batch_size,
        place_in_chunk=place % job.sampling.batch_size,
        engine=job.engine,
        model_fingerprint=job.model,
        bit_depth=16,
        crs=backgrounds["crs"],
        transform=backgrounds["transform"],
        sun_elevation=backgrounds["sun_elevation"],
    )
