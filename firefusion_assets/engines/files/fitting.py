"""Fitting engine `files`: images that were painted elsewhere, for example in a web UI, are taken in.

`inpainting.handout` writes the backgrounds and masks that are painted on.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from firefusion_assets.core.folders import some_of
from firefusion_assets.core.tables import read_table
from firefusion_assets.engines.companions import fit_companions
from firefusion_assets.engines.files.images import as_dn, listing, names_in, read_image
from firefusion_assets.engines.files.settings import FilesGenerator
from firefusion_assets.patchstore import PatchPart


def fit(generator: FilesGenerator, train: PatchPart, work: Path, progress: Callable[[str], None]) -> dict[str, float]:
    """Check all images and write them to the model folder, at patch size and in DN.

    An 8-bit value v becomes v / 255 * `dn_max`, which is 257 v for Landsat; a 16-bit value is a DN.

    Args:
        generator: the settings; paths are absolute.
        train: the patches that the companion bands are learned from.
        work: gets `images.npy` uint16 DN (N, 3, H, W), `index.csv` with a line for each of them, and `model.json`.
        progress: called with words on how far the work is.

    Returns:
        Facts: images, and how many of them have 8 bit.

    Raises:
        ValueError: with all unusable images, each with its remedy.
    """
    folder, table = Path(generator.images), Path(generator.table) if generator.table else None
    listing(folder, table)
    index = pd.DataFrame({"name": names_in(folder)}) if table is None else _read_table(table, names_in(folder))
    size, dn_max = train.meta.patch_size, train.meta.dn_max
    images = np.lib.format.open_memmap(work / "images.npy", "w+", np.uint16, (len(index), 3, size, size))
    problems: defaultdict[str, list[str]] = defaultdict(list)
    depths = []
    for number, name in enumerate(index["name"]):
        try:
            pixels = read_image(folder / name, size)
        except ValueError as problem:
            problems[str(problem)].append(name)
            continue
        depths.append(8 * pixels.itemsize)
        images[number] = as_dn(pixels, size, dn_max)
    if problems:
        raise ValueError("\n".join(f"{folder}: {some_of(names)}: {problem}" for problem, names in problems.items()))
    images.flush()
    progress(f"{len(depths)} images, {depths.count(8)} of 8 bit")
    index.assign(bit_depth=depths).to_csv(work / "index.csv", index=False)
    channels = [train.meta.bands.index(band) for band in generator.composite]
    model: dict[str, Any] = {"engine": "files", "channels": channels, "dn_max": dn_max, "companions": None}
    if generator.companion_bands == "regressed":
        model["companions"] = fit_companions(train, generator.composite).model_dump()
    (work / "model.json").write_text(json.dumps(model) + "\n")
    return {"n_images": len(depths), "n_8bit": depths.count(8)}


def _read_table(table: Path, names: Sequence[str]) -> pd.DataFrame:
    """Return columns name and row of the images that a table lists; others of the folder are left out."""
    listed, problems = read_table(table, ("row", "image"))
    if not listed and not problems:
        problems = [f"{table}: names no image; write a line for each"]
    rows, images = (pd.Series([row.cells[name].strip() for row in listed], dtype=str) for name in ("row", "image"))
    findings = {
        "row must be its number in the plan": rows[~rows.str.fullmatch("[0-9]{1,9}")],
        "row is listed twice; give it one image": rows[rows.duplicated()],
        "image is listed twice; give it one row": images[images.duplicated()],
        "image is not in generator.images; write its name there, with its ending": images[~images.isin(names)],
    }
    problems += [f"{table}: {finding}: {some_of(list(bad))}" for finding, bad in findings.items() if len(bad)]
    if problems:
        raise ValueError("\n".join(problems))
    return pd.DataFrame({"name": images, "row": rows.astype(int)})
