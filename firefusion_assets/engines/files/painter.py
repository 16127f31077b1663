"""Painting with engine `files`: a table, or the file names, say which image belongs to which row of the plan."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.core.folders import some_of
from firefusion_assets.engines.companions import Companions
from firefusion_assets.engines.contract import compose

_NO_IMAGE: Final = -1
_MISMATCHES: Final = (
    "fit no row of the plan; name them row-NNNNNN... or <background>-<mask>..., or list them in generator.table; if "
    "the plan got smaller, raise sampling.images or max_tries",
    "are more images than plan rows of that name; take some away, or raise sampling.images or max_tries",
    "fit several pairs of the plan; list them in generator.table",
)
"""What is wrong with images whose names fit no row, rows that have an image already, or several pairs."""

Mask = npt.NDArray[np.bool_]


class FilesPainter:
    """Paints by putting in the images that belong to the rows of a plan.

    A row without an image comes out as its background: screening rejects that as unchanged, unless `min_changed` is 0.

    Args:
        folder: what `fitting.fit` wrote.
        rows: of the plan: row, background, mask, seed.

    Raises:
        ValueError: with all images that match no row, several rows, or a row that already has an image.
    """

    def __init__(self, folder: Path, rows: pd.DataFrame) -> None:
        model = json.loads((folder / "model.json").read_text())
        index = pd.read_csv(folder / "index.csv", dtype={"name": str}, keep_default_na=False)
        self._images = np.load(folder / "images.npy", mmap_mode="r")
        self._depths: list[int] = index["bit_depth"].tolist()
        self._channels, self._dn_max = model["channels"], model["dn_max"]
        self._companions = Companions.model_validate(model["companions"]) if model["companions"] else None
        image_of = _match(index, rows)
        self._number_of = {
            seed: image_of.get(row, _NO_IMAGE) for row, seed in zip(rows["row"], rows["seed"], strict=True)
        }

    def paint(
        self, backgrounds: npt.NDArray[np.uint16], labels: Mask, edits: Mask, seeds: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint16]:
        """Put the images of the rows that have these seeds into the edit masks; see `study.engine.Painter`.

        Raises:
            KeyError: if a seed is none of the plan's.
        """
        numbers = np.array([self._number_of[seed] for seed in seeds])
        has_image = numbers != _NO_IMAGE
        composed = backgrounds.copy()
        if has_image.any():
            painted = backgrounds[has_image]
            painted[:, self._channels] = self._images[numbers[has_image]]
            dn = self._companions.fill(painted, labels[has_image]) if self._companions else painted.astype(np.float32)
            composed[has_image] = compose(dn, backgrounds[has_image], edits[has_image], self._dn_max)
        return composed

    def bit_depths(self, rows: pd.DataFrame) -> list[int]:
        """Return for each row of the plan how many bits a band of its image had; 16 for a row without an image."""
        numbers = [self._number_of[seed] for seed in rows["seed"]]
        return [16 if number == _NO_IMAGE else self._depths[number] for number in numbers]


def _match(index: pd.DataFrame, rows: pd.DataFrame) -> dict[int, int]:
    """Return the number of the image of each row of the plan that has one."""
    image_of: dict[int, int] = {}
    problems: defaultdict[str, list[str]] = defaultdict(list)
    for (number, name), queues in zip(index["name"].items(), _queues(index, rows), strict=True):
        row = next((row for row in queues[0] if row not in image_of), None) if len(queues) == 1 else None
        if row is None:
            problems[_MISMATCHES[min(len(queues), 2)]].append(name)
        else:
            image_of[row] = number
    if problems:
        found = [f"generator.images: {some_of(names)}: {problem}" for problem, names in problems.items()]
        raise ValueError("\n".join([*found, f"{len(image_of)} of the plan's {len(rows)} rows have an image"]))
    return image_of


def _queues(index: pd.DataFrame, rows: pd.DataFrame) -> Iterator[list[Iterator[int]]]:
    """Yield for each image the rows that are meant, by each way to understand its name or its line in the table."""
    own = {row: iter([row]) for row in rows["row"]}
    if "row" in index:
        yield from ([own[row]] if row in own else [] for row in index["row"])
        return
    pairs: defaultdict[str, list[Iterator[int]]] = defaultdict(list)
    for (background, mask), group in rows.groupby(["background", "mask"], sort=False):
        pairs[f"{background}-{mask}"].append(iter(group["row"].tolist()))
    for stem in (Path(name).stem for name in index["name"]):
        # Ids may hold hyphens themselves, so any hyphen may be the one that ends the pair.
        starts = [stem[: end.start()] for end in re.finditer(r"-|\Z", stem)]
        queues = [queue for start in starts for queue in pairs.get(start, [])]
        handed_out = re.match("row-([0-9]+)", stem)
        if handed_out and int(handed_out[1]) in own:
            queues.append(own[int(handed_out[1])])
        yield queues
