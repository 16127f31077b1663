"""Engine `files`: images that were painted elsewhere, for example in a web UI, are taken in.

Which image belongs to which row of the plan is told by a table, or by names. How backgrounds and masks get out to be
painted on doesn't belong here; see `inpainting.handout`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from PIL import Image

from firefusion_assets.engines.companions import Companions, fit_companions
from firefusion_assets.engines.contract import compose
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.generators import FilesGenerator

_NO_IMAGE: Final = -1
_MISMATCHES: Final = (
    "fit no row of the plan; name them row-NNNNNN... or <background>-<mask>..., or list them in generator.table; if "
    "the plan got smaller, raise sampling.images or max_tries",
    "are more images than plan rows of that name; take some away, or raise sampling.images or max_tries",
    "fit several pairs of the plan; list them in generator.table",
)
"""What is wrong with images whose names fit no row, rows that have an image already, or several pairs."""

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def listing(images: Path, table: Path | None) -> list[tuple[str, int, int]]:
    """Return name, size in bytes and modification time in ns of the table and of each PNG and TIFF, sorted.

    Raises:
        ValueError: if the folder or the table is missing, or the folder holds no PNG and no TIFF.
    """
    problems = []
    if not images.is_dir():
        problems.append(f"{images}: there is no such folder; mend its path")
    elif not _names(images):
        problems.append(f"{images}: holds no PNG and no TIFF; put the painted images there")
    if table is not None and not table.is_file():
        problems.append(f"{table}: there is no such table; mend its path, or leave it out to go by names")
    if problems:
        raise ValueError("\n".join(problems))
    files = [*(images / name for name in _names(images)), *([table] if table else [])]
    return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def fit(generator: FilesGenerator, train: PatchPart, work: Path, progress: Callable[[str], None]) -> dict[str, float]:
    """Check all images and write them to the model folder, at patch size and in DN.

    An 8-bit value v becomes v / 255 * `dn_max`, which is 257 v for Landsat; a 16-bit value is a DN.

    Args:
        generator: the settings; paths are absolute.
        train: the patches that the companion bands are learned from.
        work: gets `images.npy` uint16 DN (N, 3, H, W), `index.csv` with a line for each of them, and `model.json`.
        progress: told in words how far the work is.

    Returns:
        Facts: images, and how many of them have 8 bit.

    Raises:
        ValueError: with all unusable images, each with its remedy.
    """
    folder, table = Path(generator.images), Path(generator.table) if generator.table else None
    listing(folder, table)
    index = pd.DataFrame({"name": _names(folder)}) if table is None else _read_table(table, _names(folder))
    size, dn_max = train.meta.patch_size, train.meta.dn_max
    images = np.lib.format.open_memmap(work / "images.npy", "w+", np.uint16, (len(index), 3, size, size))
    problems: defaultdict[str, list[str]] = defaultdict(list)
    depths = []
    for number, name in enumerate(index["name"]):
        try:
            pixels = _read(folder / name, size)
        except ValueError as problem:
            problems[str(problem)].append(name)
            continue
        depths.append(8 * pixels.itemsize)
        images[number] = _as_dn(pixels, size, dn_max)
    if problems:
        raise ValueError("\n".join(f"{folder}: {_some(names)}: {problem}" for problem, names in problems.items()))
    images.flush()
    progress(f"{len(depths)} images, {depths.count(8)} of 8 bit")
    index.assign(bit_depth=depths).to_csv(work / "index.csv", index=False)
    channels = [train.meta.bands.index(band) for band in generator.composite]
    model: dict[str, Any] = {"engine": "files", "channels": channels, "dn_max": dn_max, "companions": None}
    if generator.companion_bands == "regressed":
        model["companions"] = fit_companions(train, generator.composite).model_dump()
    (work / "model.json").write_text(json.dumps(model) + "\n")
    return {"n_images": len(depths), "n_8bit": depths.count(8)}


class FilesPainter:
    """Paints by putting in the images that belong to the rows of a plan.

    A row without an image comes out as its background: screening rejects that as unchanged, unless `min_changed` is 0.

    Args:
        folder: what `fit` wrote.
        rows: of the plan: row, background, mask, seed.

    Raises:
        ValueError: with all images that belong to no row, or to none for sure, or to one that has an image.
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
        """Put the images of the rows that have these seeds into the edit masks; see `engines.contract.Painter`.

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


def _names(folder: Path) -> list[str]:
    """Return the names of the images, those with -2 before those with -10."""
    endings = (".png", ".tif", ".tiff")
    names = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in endings and file.is_file())
    return sorted(names, key=lambda name: re.sub("[0-9]+", lambda digits: digits[0].zfill(20), Path(name).stem))


def _some(names: Sequence[str]) -> str:
    """Name the first of many."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _read_table(table: Path, names: Sequence[str]) -> pd.DataFrame:
    """Return columns name and row of the images that a table lists; others of the folder are left out."""
    try:
        listed = pd.read_csv(table, dtype=str, keep_default_na=False, skipinitialspace=True)
    except ValueError as error:  # what pandas raises for a bad table or encoding are kinds of it
        raise ValueError(f"{table}: can't be read as CSV in UTF-8: {error}") from error
    if not {"row", "image"} <= set(listed) or listed.empty:
        raise ValueError(f"{table}: needs columns row and image and a line for each image; has {', '.join(listed)}")
    rows, images = listed["row"], listed["image"]
    findings = {
        "row must be its number in the plan": rows[~rows.str.fullmatch("[0-9]{1,9}")],
        "row is listed twice; give it one image": rows[rows.duplicated()],
        "image is listed twice; give it one row": images[images.duplicated()],
        "image is not in generator.images; write its name there, with its ending": images[~images.isin(names)],
    }
    problems = [f"{table}: {finding}: {_some(bad)}" for finding, bad in findings.items() if len(bad)]
    if problems:
        raise ValueError("\n".join(problems))
    return pd.DataFrame({"name": images, "row": rows.astype(int)})


def _read(path: Path, size: int) -> Pixels:
    """Return an image as it is, uint8 or uint16 (3, H, W); the error says what is wrong with it and what to do."""
    pixels: Pixels
    try:
        if path.suffix.lower() == ".png":
            # Pillow, since GDAL takes a file that was cut off for a whole one. It makes 8 bit of 16 without a word,
            # so the depth is read where every PNG has it (W3C PNG, 11.2.1).
            with Image.open(path, formats=["PNG"]) as image:
                if image.mode not in ("RGB", "RGBA") or path.read_bytes()[24] != 8:
                    raise ValueError("is no PNG of RGB with 8 bit; save it as that, or as TIFF")
                pixels = np.asarray(image).transpose(2, 0, 1)
        else:
            with rasterio.open(path, driver="GTiff") as dataset:
                pixels = dataset.read()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"can't be read; save it again ({type(error).__name__})") from error
    n_bands, height, width = pixels.shape
    if pixels.dtype not in (np.uint8, np.uint16) or n_bands not in (3, 4):
        raise ValueError(f"has {n_bands} bands of {pixels.dtype}; save it as RGB with 8 or 16 bit")
    if (pixels[3:] != np.iinfo(pixels.dtype).max).any():
        raise ValueError("is transparent in places; save it as RGB, without alpha")
    if height != width or height % size:
        raise ValueError(f"is {width} x {height} px; make it a square of {size} px, or of a whole multiple of that")
    return pixels[:3]


def _as_dn(pixels: Pixels, size: int, dn_max: int) -> npt.NDArray[np.uint16]:
    """Return DN (3, size, size): the mean over the area of each pixel, rounded once."""
    factor = pixels.shape[1] // size
    mean = pixels.reshape(3, size, factor, size, factor).mean(axis=(2, 4), dtype=np.float64)
    return np.rint(mean * dn_max / 255 if pixels.dtype == np.uint8 else mean).astype(np.uint16)


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
        found = [f"generator.images: {_some(names)}: {problem}" for problem, names in problems.items()]
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
