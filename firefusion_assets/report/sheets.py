"""Contact sheets of painted patches and of predictions."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from firefusion_assets.core.pictures import (
    FALSE_ALARM_COLOUR,
    HIT_COLOUR,
    IGNORE_COLOUR,
    LABEL_COLOUR,
    MASK_COLOUR,
    MISS_COLOUR,
    Composite,
    Picture,
    contact_sheet,
    on_grey,
    outline,
)
from firefusion_assets.report.inputs import PaintedExample, PredictionExample
from firefusion_assets.study.models import Study

PAINTED_COLUMNS: Final = ("background", "mask", "painted", "label", "nearest training fire")


def composite_of(study: Study) -> Composite:
    """Return what shows a study's patches in colour."""
    return Composite(study.dataset.bands, study.composite)


def painted_sheet(examples: Sequence[PaintedExample], composite: Composite) -> Image.Image:
    """Show synthetic patches, a row each, in the columns `PAINTED_COLUMNS`.

    Args:
        examples: what to show.
        composite: shows the examples' bands.
    """
    captions = []
    for example in examples:
        verdict = "" if example.accepted else f"; REJECTED: {example.reason}"
        distance = "" if math.isnan(example.nearest_distance) else f"; nearest fire at {example.nearest_distance:.3g}"
        captions.append(f"{example.caption}{distance}{verdict}")
    return contact_sheet([painted_tiles(example, composite) for example in examples], PAINTED_COLUMNS, captions)


def painted_tiles(example: PaintedExample, composite: Composite) -> list[Picture]:
    """Return the pictures of one synthetic patch, as `PAINTED_COLUMNS` names them; the last may be missing."""
    scenes = [example.background, example.painted]
    if example.nearest is not None:
        scenes.append(example.nearest)
    # Side by side in one picture, so that all are stretched alike.
    background, painted, *nearest = np.split(composite(np.concatenate(scenes, axis=2)), len(scenes), axis=1)
    return [
        background,
        on_grey(background, (example.mask, MASK_COLOUR)),
        painted,
        on_grey(painted, (example.ignore, IGNORE_COLOUR), (example.label, LABEL_COLOUR)),
        *nearest,
    ]


def prediction_sheet(examples: Sequence[PredictionExample], composite: Composite) -> Image.Image:
    """Show evaluated patches, a row each: the patch, the truth, and what a U-Net of each config finds.

    Args:
        examples: what to show, with predictions of the same configs.
        composite: shows the examples' bands.
    """
    rows, captions = [], []
    for example in examples:
        scene, truth = composite(example.bands), example.truth & ~example.ignore
        row, counts = [scene, outline(scene, truth)], []
        for key, mask in example.predicted.items():
            predicted = mask & ~example.ignore
            misses, false_alarms = truth & ~predicted, predicted & ~truth
            row.append(
                on_grey(
                    scene,
                    (example.ignore, IGNORE_COLOUR),
                    (truth & predicted, HIT_COLOUR),
                    (misses, MISS_COLOUR),
                    (false_alarms, FALSE_ALARM_COLOUR),
                )
            )
            counts.append(f"{key} misses {misses.sum()}, {false_alarms.sum()} false")
        rows.append(row)
        captions.append(f"{example.caption}: {truth.sum()} px of fire; {'; '.join(counts)}")
    keys = examples[0].predicted if examples else ()
    return contact_sheet(rows, ["patch", "truth", *keys], captions)
