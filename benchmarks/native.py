"""Engine `native` on the demo, with three trained networks: training against a plain loop, painting against 25 steps
of DDIM, figures of quality side by side. Run `make demo` first.
"""

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.core import seeding
from firefusion_assets.core.training_loop import move_average
from firefusion_assets.engines.native.calibration import calibrated
from firefusion_assets.engines.native.contrast import fit_contrast
from firefusion_assets.engines.native.crops import CropStream
from firefusion_assets.engines.native.diffusion_noise import fit_noise
from firefusion_assets.engines.native.fitting import fit, noisy_example, training_loss
from firefusion_assets.engines.native.painter import NativePainter
from firefusion_assets.engines.native.pipeline import new_pipeline
from firefusion_assets.engines.native.scaling import fit_scaling
from firefusion_assets.engines.native.settings import NativeGenerator
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, read_folds

_DEMO: Final = Path(__file__).parents[1] / "data" / "demo"
_SEEDS: Final = (1, 2, 3)
_STEPS: Final = 200
_PATCHES: Final = 80
_DDIM_STEPS: Final = 25

Images = npt.NDArray[np.uint16]
Masks = npt.NDArray[np.bool_]


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield speeds and figures of quality, the baseline's second."""
    lineage = Lineage(_DEMO, ArtifactStore(_DEMO / "artifacts"))
    (fold,) = read_folds(lineage)
    config = lineage.config("native")
    settings = config.generator.model_copy(update={"steps": _STEPS})
    assert isinstance(settings, NativeGenerator)
    plan = Plan.read(
        lineage.find("inpainting_masks", "native").path / "fold-0" / "replicate-0", fold.train.meta.patch_size
    )
    rows = plan.rows[:_PATCHES]
    backgrounds = np.stack([fold.train.read(background).bands for background in rows["background"]])
    labels, edits = plan.labels[: len(rows)], plan.edits[: len(rows)]
    with TemporaryDirectory() as temporary:
        models = {seed: Path(temporary) / str(seed) for seed in _SEEDS}
        speeds = []
        for seed, model in models.items():  # in turns, so that a slow moment of the machine hits both
            seeded = settings.model_copy(update={"seed": seed})
            speeds.append((_our_speed(seeded, fold, model), _plain_speed(seeded, fold)))
        yield "native: training steps a second (plain loop)", *np.mean(speeds, axis=0)
        seconds, figures = np.zeros(2), []
        for model in models.values():
            ours, ddim = NativePainter(model, config.sampling.steps), NativePainter(model, _DDIM_STEPS)
            ddim._pipeline.scheduler = DDIMScheduler.from_pretrained(model, subfolder="scheduler")
            ddim._calibration = calibrated(model, ddim._pipeline.contrast, ddim._paint_examples)
            for number, painter in enumerate((ours, ddim)):
                painted: list[Images] = []
                for start in range(0, len(rows), config.sampling.batch_size):
                    some = np.s_[start : start + config.sampling.batch_size]
                    seeds = rows["seed"].to_numpy(np.int64)[some]
                    began = time.perf_counter()
                    painted.append(painter.paint(backgrounds[some], labels[some], edits[some], seeds))
                    seconds[number] += time.perf_counter() - began
                figures.append(_figures(np.concatenate(painted), labels, fold))
    yield f"native: patches a second (DDIM, {_DDIM_STEPS} steps)", *(len(_SEEDS) * len(rows) / seconds)
    real = _figures(*_real(fold), fold)
    for number, name in enumerate(("saturated share", "correlation of B6 and B7", "correlation of neighbours")):
        of_ours, of_ddim = ([one[number] for one in figures[place::2]] for place in (0, 1))
        yield f"native: {name} (DDIM)", float(np.mean(of_ours)), float(np.mean(of_ddim))
        yield f"native: {name}, spread of 3 seeds (real fires' value)", float(np.ptp(of_ours)), real[number]


def _our_speed(settings: NativeGenerator, fold: Fold, model: Path) -> float:
    """Return steps a second; what a training does once is measured with one step and taken off."""
    once = settings.model_copy(update={"steps": 1})
    model.mkdir()
    with TemporaryDirectory() as other:
        seconds = _seconds(lambda: fit(settings, fold.train, model, _silent))
        return (_STEPS - 1) / (seconds - _seconds(lambda: fit(once, fold.train, Path(other), _silent)))


def _plain_speed(settings: NativeGenerator, fold: Fold) -> float:
    """Return steps a second of a loop that draws, then learns, in torch's own memory layout."""
    scaling = fit_scaling(fold.train, settings.seed)
    stream = CropStream(fold.train, scaling, settings.crop, settings.seed)
    contrast = fit_contrast(stream.batch(step, settings.batch_size) for step in range(50))
    noise = fit_noise((stream.batch(step, settings.batch_size) for step in range(50)), contrast)
    pipeline = new_pipeline(fold.train.meta.bands, scaling, contrast, noise, settings.crop, settings.channels)
    unet = pipeline.unet.train().to(memory_format=torch.contiguous_format)
    averaged, optimizer = copy.deepcopy(unet), torch.optim.Adam(unet.parameters(), settings.learning_rate)

    def train() -> None:
        for step in range(_STEPS):
            crops = stream.batch(step, settings.batch_size)
            loss = training_loss(pipeline, noisy_example(pipeline, crops, seeding.generator(step)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            move_average(averaged, unet, 0.995, step)

    return _STEPS / _seconds(train)


def _figures(patches: Images, labels: Masks, fold: Fold) -> tuple[float, float, float]:
    """Return of label pixels: share saturated in B7, correlation of B6 and B7, and of neighbours in B7 (log DN)."""
    names = fold.train.meta.bands
    b6, b7 = (np.log(patches[:, names.index(band)].astype(float)) for band in ("B6", "B7"))
    both = labels[:, :, 1:] & labels[:, :, :-1]
    return (
        float((patches[:, names.index("B7")][labels] == fold.train.meta.dn_max).mean()),
        float(np.corrcoef(b6[labels], b7[labels])[0, 1]),
        float(np.corrcoef(b7[:, :, 1:][both], b7[:, :, :-1][both])[0, 1]),
    )


def _real(fold: Fold) -> tuple[Images, Masks]:
    """Return all burning patches, and their fires."""
    parts = (fold.train, fold.val, fold.test)
    burning = [patch for part in parts for patch in map(part.read, part.ids) if patch.label.any()]
    return np.stack([patch.bands for patch in burning]), np.stack([patch.label & ~patch.ignore for patch in burning])


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _silent(line: str) -> None:
    """Say nothing."""
