"""Small patch stores for these tests: 16 px patches in which a bright square is a fire."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.lineage.pieces import Piece, Pieces
from firefusion_assets.patchstore import Patch, PatchWriter, StoreMeta
from firefusion_assets.segmentation.training import TrainingJob, train_unet
from firefusion_assets.study.models import Training

BANDS = ("B2", "B6", "B7")
SIZE = 16


def square_patch(seed: int, fire: bool, ignored_rows: int = 0, weight: float = 1.0) -> Patch:
    """A noisy patch; a fire is a square of 4 to 6 px, bright in B7. Ignored rows: fill, and a wrong label."""
    rng = np.random.default_rng(seed)
    bands = rng.normal(9000, 500, (len(BANDS), SIZE, SIZE))
    label = np.zeros((SIZE, SIZE), bool)
    if fire:
        side, row, column = rng.integers(4, 7), *rng.integers(0, SIZE - 6, 2)
        label[row : row + side, column : column + side] = True
    bands[2, label] += 12000
    ignore = np.zeros((SIZE, SIZE), bool)
    if ignored_rows:
        ignore[-ignored_rows:] = True
        bands[:, -ignored_rows:] = 0
        label[-ignored_rows:] = True
    return Patch(bands.astype(np.uint16), label, ignore, weight)


def write_store(path: Path, patches: Mapping[str, Patch]) -> Path:
    with PatchWriter(path, StoreMeta(study="squares", bands=BANDS, patch_size=SIZE)) as writer:
        for patch_id, patch in patches.items():
            writer.add_patch(patch_id, patch)
    return path


def squares(n: int, first_seed: int = 0, prefix: str = "p") -> dict[str, Patch]:
    """Patches of which every other one has fire, and every fourth two ignored rows."""
    return {
        f"{prefix}{i:02d}": square_patch(first_seed + i, fire=i % 2 == 0, ignored_rows=2 * (i % 4 == 3))
        for i in range(n)
    }


def recipe(**changes: object) -> Training:
    settings: dict[str, object] = {
        "bands": ("B7", "B6", "B2"), "filters": 4, "steps": 12, "validate_every": 4, "learning_rate": 1e-2,
    }  # fmt: skip
    return Training.model_validate(settings | changes)


def square_job(folder: Path, seed: int = 187, fold: int = 0, replicate: int = 0, **changes: object) -> TrainingJob:
    """A job on 16 train and 8 val patches, whose base store is written on the first call."""
    base = folder / "base"
    if not base.exists():
        write_store(base, squares(24))
    ids = tuple(squares(24))
    return TrainingJob(
        base=base,
        fold=fold,
        replicate=replicate,
        seed=seed,
        train_ids=ids[:16],
        val_ids=ids[16:],
        training=recipe(**changes),
        threshold=0.5,
    )


def trainings(folder: Path, *jobs: TrainingJob) -> Pieces:
    """Return trainings as the pieces of an object, made by two processes."""
    store = ArtifactStore(folder / "artifacts")
    pieces = [
        Piece(f"fold {job.fold} replicate {job.replicate}", ("networks", f"whole-{n}"), (), store, partial(_train, job))
        for n, job in enumerate(jobs)
    ]
    return Pieces(pieces, processes=lambda: 2)


def _train(job: TrainingJob, work: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
    train_unet(job, work / "net", progress)
    return {"seed": job.seed}
