"""Painted examples in a file, so that a report can show them without screening again."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from firefusion_assets.report.inputs import PaintedExample

_ARRAYS = ("background", "painted", "mask", "label", "ignore", "nearest")


def save_examples(examples: Sequence[PaintedExample], path: Path) -> None:
    """Write examples to an npz file: their arrays, and the rest as one JSON text."""
    arrays = {
        f"{name}-{number}": value
        for number, example in enumerate(examples)
        for name in _ARRAYS
        if (value := getattr(example, name)) is not None
    }
    rest = [
        {field.name: getattr(example, field.name) for field in dataclasses.fields(example) if field.name not in _ARRAYS}
        for example in examples
    ]
    np.savez_compressed(path, rest=np.array(json.dumps(rest)), **arrays)


def load_examples(path: Path) -> list[PaintedExample]:
    """Read the examples that `save_examples` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return [
            PaintedExample(**{name: file.get(f"{name}-{number}") for name in _ARRAYS}, **values)
            for number, values in enumerate(json.loads(str(file["rest"])))
        ]
