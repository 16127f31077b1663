"""Painting down a plan until enough patches pass the screening, and what is known of each painted patch."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.artifacts.store import ArtifactStore, link
from firefusion_assets.inpainting.chunks import PaintJob, painted_chunks
from firefusion_assets.inpainting.screening import KeptVerdicts, Screen, Verdict
from firefusion_assets.study.engine import Painter


class SyntheticPatches:
    """The painted patches of one replicate, as `paint` wrote them.

    Args:
        folder: the replicate's folder.

    Attributes:
        folder: the replicate's folder.
        provenance: one row a patch, in painted order; `place` is its position in the plan.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.provenance = pd.read_parquet(folder / "provenance.parquet")

    def read(self, number: int) -> npt.NDArray[np.uint16]:
        """Return one patch by its row in the provenance, uint16 (C, H, W)."""
        row = self.provenance.iloc[number]
        chunk = np.load(self.folder / f"chunk-{row['chunk']:05d}.npy", mmap_mode="r")
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
    shards: int = 1,
) -> Mapping[str, Any]:
    """Paint one replicate's plan until `sampling.images` patches pass the screening, or the plan ends.

    With `screening.select` other than `all` it is painted to its end.

    Args:
        job: what to paint.
        load_painter: called when the first chunk has to be painted; can be sent to another process.
        screen: decides which patches count.
        store: where the chunks lie.
        folder: gets `chunk-NNNNN.npy` (hard links to the chunks), `provenance.parquet` and the verdicts.
        progress: called after every chunk.
        shards: processes that paint, a device each; their number changes no byte.

    Returns:
        Facts: patches painted, patches that pass, values that changed outside the edit masks (0 unless an engine
        breaks its contract).
    """
    folder.mkdir(parents=True, exist_ok=True)
    accepted = painted = changed_outside = 0
    verdicts = KeptVerdicts()
    started = time.monotonic()
    with painted_chunks(job, load_painter, store, progress, shards) as chunks:
        everything = screen.settings.select != "all"  # there has to be something to choose from
        while (everything or accepted < job.sampling.images) and (chunk := next(chunks, None)) is not None:
            path = chunk.artifact.path / "painted.npy"
            link(path, folder / f"chunk-{chunk.number:05d}.npy")
            images = zip(chunk.places, np.load(path), strict=True)
            for place, image in images:
                verdict = _judged(job, place, image, screen)
                verdicts.add(verdict)
                accepted += verdict.accepted
            painted += len(chunk.places)
            changed_outside += chunk.artifact.facts["n_values_changed_outside"]
            progress(_progress_line(job, painted, accepted, time.monotonic() - started))
    verdicts.write(folder, job.part.meta.patch_size)
    _provenance(job, painted).to_parquet(folder / "provenance.parquet", index=False)
    return {"n_painted": painted, "n_passed": accepted, "n_values_changed_outside": changed_outside}


def _progress_line(job: PaintJob, painted: int, accepted: int, seconds: float) -> str:
    wanted = job.sampling.images
    line = (
        f"fold {job.fold} replicate {job.replicate}: {painted} painted, {accepted} accepted, {wanted} wanted, "
        f"{painted / seconds:.1f} images/s"
    )
    if not accepted:
        return line
    left = min(wanted / accepted * painted, len(job.plan.rows)) - painted
    return f"{line}, about {max(0, left) * seconds / painted / 60:.1f} min left"


def _judged(job: PaintJob, place: int, image: npt.NDArray[np.uint16], screen: Screen) -> Verdict:
    background = job.plan.rows["background"].iloc[place]
    sun = float(job.table.loc[background, "sun_elevation"])
    return screen(job.plan.ground(place, job.part), image, job.plan.labels[place], job.plan.edits[place], sun)


def _provenance(job: PaintJob, painted: int) -> pd.DataFrame:
    rows = job.plan.rows.iloc[:painted].reset_index(drop=True)
    place = np.arange(painted)
    backgrounds = job.table.loc[rows["background"], ["crs", "transform", "sun_elevation"]].reset_index(drop=True)
    return rows.assign(
        synthetic_id=[f"synthetic-{job.fold}-{number:06d}" for number in rows["row"]],
        fold=job.fold,
        replicate=job.replicate,
        chunk=place // job.sampling.batch_size,
        place_in_chunk=place % job.sampling.batch_size,
        engine=job.engine,
        model_fingerprint=job.model,
        bit_depth=np.array(job.bit_depths[:painted], np.int64),
        crs=backgrounds["crs"],
        transform=backgrounds["transform"],
        sun_elevation=backgrounds["sun_elevation"],
    )
