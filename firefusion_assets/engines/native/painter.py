"""Painting whole patches with engine `native`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.core import seeding
from firefusion_assets.engines.native.calibration import calibrated
from firefusion_assets.engines.native.crops import Crops
from firefusion_assets.engines.native.pipeline import load_pipeline
from firefusion_assets.engines.windows import Place, paint_by_windows

_BATCH: Final = 16
"""Crops that are painted at once to be measured."""


class NativePainter:
    """Paints with a trained pipeline.

    Args:
        folder: what `fitting.fit` wrote.
        steps: denoising steps.
        strength: of the noise that painting starts from; below 1 the ground's relief takes the rest of its place.
    """

    def __init__(self, folder: Path, steps: int, strength: float = 1.0) -> None:
        self._pipeline = load_pipeline(folder)
        self._steps, self._strength = steps, strength
        self._calibration = calibrated(folder, self._pipeline.contrast, self._paint_examples)

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch; see `study.engine.Painter`."""

        def sample(
            known: npt.NDArray[np.uint16],
            label: npt.NDArray[np.bool_],
            edit: npt.NDArray[np.bool_],
            places: Sequence[Place],
        ) -> npt.NDArray[np.float32]:
            noise = np.stack([self._noise(int(seeds[place.patch]), place.number, known.shape[1:]) for place in places])
            return self._pipeline(known, label, edit, noise, self._steps, self._strength, self._calibration)

        size, dn_max = self._pipeline.crop, self._pipeline.scaling.dn_max
        return paint_by_windows(backgrounds, labels, edits, size, dn_max, sample)

    def _paint_examples(self, crops: Crops) -> npt.NDArray[np.float32]:
        noise = np.stack([self._noise(number, 0, crops.bands.shape[1:]) for number in range(len(crops.bands))])
        batches = [
            self._pipeline.sampled(Crops(*(array[some] for array in crops)), noise[some], self._steps, self._strength)
            for some in (slice(start, start + _BATCH) for start in range(0, len(noise), _BATCH))
        ]
        return np.concatenate(batches)

    def _noise(self, seed: int, window: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Draw the noise of a window; a patch's windows share its level."""
        level = seeding.generator(seed, "native level").standard_normal((shape[0], 1, 1), np.float32)
        return self._pipeline.noise.draw(seeding.generator(seed, "native", window), shape, level)
