"""Painting whole patches with engine `native`: window after window, each seeing what was painted before.

The batch's patches go on together: round r paints the r-th window of each. At last the paint beside label
pixels is faded into the ground that is there, so that the edit mask has no visible edge.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from firefusion_assets import seeding
from firefusion_assets.inpainting.engines.blending import feather
from firefusion_assets.inpainting.engines.contract import compose
from firefusion_assets.inpainting.engines.native.noise import draw_noise
from firefusion_assets.inpainting.engines.native.pipeline import load_pipeline
from firefusion_assets.inpainting.engines.native.windows import next_window


class NativePainter:
    """Paints with a trained pipeline.

    Args:
        folder: what `training.fit` wrote.
        steps: denoising steps.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._pipeline = load_pipeline(folder)
        self._steps = steps

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch; see `engines.contract.Painter`."""
        size, dn_max = self._pipeline.crop, self._pipeline.scaling.dn_max
        painted = backgrounds.copy()
        remaining = edits.copy()
        paint_round = 0
        while (unfinished := np.flatnonzero(remaining.any(axis=(1, 2)))).size:
            windows = [next_window(remaining[i], size) for i in unfinished]
            known = np.stack([painted[i, :, *window] for i, window in zip(unfinished, windows, strict=True)])
            label = np.stack([labels[i, *window] for i, window in zip(unfinished, windows, strict=True)])
            edit = np.stack([remaining[i, *window] for i, window in zip(unfinished, windows, strict=True)])
            rngs = (seeding.generator(int(seeds[i]), "native", paint_round) for i in unfinished)
            noise = np.stack([draw_noise(rng, known.shape[1:]) for rng in rngs])
            sampled = self._pipeline(known, label, edit, noise, self._steps)
            for i, window, crop in zip(unfinished, windows, compose(sampled, known, edit, dn_max), strict=True):
                painted[i, :, *window] = crop
                remaining[i, *window] = False
            paint_round += 1
        opacity = np.stack([feather(label, edit) for label, edit in zip(labels, edits, strict=True)])[:, None]
        ground = backgrounds.astype(np.float32)
        return compose(ground + (painted - ground) * opacity, backgrounds, edits, dn_max)
