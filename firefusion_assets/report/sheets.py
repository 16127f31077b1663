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
    composite,
    contact_sheet,
    on_grey,
    outline,
)
from firefusion_assets.report.inputs import PaintedExample, PredictionExample

PAINTED_COLUMNS: Final = ("background", "mask", "painted", "label", "nearest training fire")
PREDICTION_COLUMNS: Final = ("patch", "truth", "prediction")


def painted_sheet(examples: Sequence[PaintedExample], names: Sequence[str]) -> Image.Image:
    """Show synthetic patches, a row each, in the columns `PAINTED_COLUMNS`.

    Args:
        examples: what to show.
        names: names of the bands in the examples' arrays.
    """
    rows, captions = [], []
    for example in examples:
        scenes = [example.background, example.painted]
        if example.nearest is not None:
            scenes.append(example.nearest)
        # Side by side in one picture, so that all are stretched alike.
        background, painted, *nearest = np.split(composite(np.concatenate(scenes, axis=2), names), len(scenes), axis=1)
        rows.append(
            [
                background,
                on_grey(background, (example.mask, MASK_COLOUR)),
                painted,
                on_grey(painted, (example.ignore, IGNORE_COLOUR), (example.label, LABEL_COLOUR)),
                *nearest,
            ]
        )
        verdict = "" if example.accepted else f"; REJECTED: {example.reason}"
        distance = "" if math.isnan(example.nearest_distance) else f"; nearest fire at {example.nearest_distance:.3g}"
        captions.append(f"{example.caption}{distance}{verdict}")
    return contact_sheet(rows, PAINTED_COLUMNS, captions)


def prediction_sheet(examples: Sequence[PredictionExample], names: Sequence[str]) -> Image.Image:
    """Show test patches, a row each, in the columns `PREDICTION_COLUMNS`.

    Args:
        examples: what to show.
        names: names of the bands in the examples' arrays.
    """
    rows, captions = [], []
    for example in examples:
        scene = composite(example.bands, names)
        truth, predicted = example.truth & ~example.ignore, example.predicted & ~example.ignore
        hits, misses, false_alarms = truth & predicted, truth & ~predicted, predicted & ~truth
        prediction = on_grey(
            scene,
            (example.ignore, IGNORE_COLOUR),
            (hits, HIT_COLOUR),
            (misses, MISS_COLOUR),
            (false_alarms, FALSE_ALARM_COLOUR),
        )
        rows.append([scene, outline(scene, truth), prediction])
        captions.append(
            f"{example.caption}; {hits.sum()} px found, {misses.sum()} missed, {false_alarms.sum()} false alarms"
        )
    return contact_sheet(rows, PREDICTION_COLUMNS, captions)
