"""A look at a newcomer's images and masks: what belongs together, and what a study has to say of them."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.folders import some_of
from firefusion_assets.ingest.sources.raster_files import IMAGES, RasterFile, list_rasters
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.names import PatchName, PatchNameError

_MANY_VALUES: Final = 32
"""Above so many values in masks it is told that they look like images."""
_MASKS_READ: Final = 200
"""Masks whose values are looked at; so many tell what values mean."""
_FEW_GROUPS: Final = range(4, 31)
"""Numbers of groups with an event of which one test part would hold too few to tell anything."""


@dataclass
class Proposal:
    """What a study may say of images and masks.

    Attributes:
        dataset: values of the section `dataset`.
        guesses: a line for each that a person has to look at.
        tables: rows of CSV tables that a person has to fill in, the header first, by file name.
        landsat: whether it is of Landsat's DN, which the fire detectors can judge.
        folds: in how many folds groups had better be tested.
    """

    dataset: dict[str, Any]
    guesses: list[str] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    landsat: bool = False
    folds: int = 1


def propose(images: Path, masks: Path) -> Proposal:
    """Look at two folders, or zips, of images and masks.

    Raises:
        FileNotFoundError: naming each of the two that is neither a folder nor a zip, or holds no image.
        RequestError: if one of the two isn't there, or a file can't be read.
    """
    if missing := [folder for folder in (images, masks) if not folder.exists()]:
        raise RequestError("\n".join(f"{folder}: there is no such folder or zip" for folder in missing))
    listed, listed_masks = (one.files for one in list_rasters(images, masks, IMAGES))
    dataset: dict[str, Any] = {"source": "folder", "images": str(images.resolve()), "masks": str(masks.resolve())}
    proposal = Proposal(dataset)
    if names := _active_fire_names([*listed, *listed_masks]):
        _look_at_active_fire(names, proposal)
        return proposal
    pairs, unpaired = _pairs([file.name for file in listed], [file.name for file in listed_masks])
    if pairs is None:
        dataset["pairs"] = {"table": "pairs.csv"}
        proposal.tables["pairs.csv"] = [["image", "mask", "group"], *([file.name, "", ""] for file in listed)]
        proposal.guesses.append(
            "dataset.pairs: which mask belongs to which image can't be told from their names; fill in pairs.csv: the "
            "mask's file name, and one group for all that may show the same ground"
        )
    else:
        dataset["pairs"] = pairs
        if unpaired:
            proposal.guesses.append(
                f"dataset.missing_mask: {len(unpaired)} images have no mask ({some_of(unpaired)}); add them, or set it "
                "to event-free if nothing happened there"
            )
        pattern = _groups([file.name for file in listed])
        dataset["groups"] = {"pattern": pattern} if pattern else {"table": "groups.csv"}
        if pattern is None:
            proposal.tables["groups.csv"] = [["image", "group"], *([file.name, ""] for file in listed)]
        proposal.guesses.append(
            "dataset.groups: "
            + (
                f"images are taken to be of one event where the pattern gives one name: {_groups_of(listed, pattern)}"
                if pattern
                else "which images may show the same ground can't be told from their names; fill in groups.csv: one "
                "name for all images of a place or event. What is in one group is never split between training and test"
            )
        )
    _look_at_images(listed, proposal)
    with_event = _look_at_masks(listed_masks, proposal)
    if len(listed_masks) <= _MASKS_READ:
        burning = _groups_with_event([file.name for file in listed], with_event, dataset)
        if burning in _FEW_GROUPS:
            proposal.folds = 3 if burning < 10 else 5
    return proposal


def _groups_with_event(images: Sequence[str], masks: Sequence[str], dataset: Mapping[str, Any]) -> int:
    """Return how many groups the masks with an event belong to; 0 where names don't tell."""
    pairs, pattern = dataset["pairs"], dataset.get("groups", {}).get("pattern")
    if "mask" not in pairs or pattern is None:
        return 0
    groups = {
        match["id"]: group["group"]
        for name in images
        if (match := re.fullmatch(pairs["image"], name)) and (group := re.fullmatch(pattern, name))
    }
    ids = (match["id"] for name in masks if (match := re.fullmatch(pairs["mask"], name)))
    return len({groups[one] for one in ids if one in groups})


def _active_fire_names(files: Sequence[RasterFile]) -> list[PatchName]:
    """Return the names of files that are named as the active fire data set's; none if one isn't."""
    try:
        return [PatchName.parse(file.stem) for file in files]
    except PatchNameError:
        return []


def _look_at_active_fire(names: Sequence[PatchName], proposal: Proposal) -> None:
    """Propose whose masks are the truth."""
    labels = Counter(name.label for name in names if name.label)
    label = "v1" if "v1" in labels or not labels else labels.most_common(1)[0][0]
    n_images = sum(name.label is None for name in names)
    proposal.landsat = True
    proposal.dataset |= {"source": "activefire", "mask_label": label, "bands": list(FILE_BANDS), "patch_size": 256}
    proposal.guesses.append(
        f"dataset.mask_label: the truth is {label!r} of {', '.join(sorted(labels)) or 'no masks at all'}; "
        f"{labels[label]} of {n_images} patches have such a mask, the others count as free of fire "
        "(dataset.missing_mask)"
    )


def _pairs(images: Sequence[str], masks: Sequence[str]) -> tuple[dict[str, str] | None, list[str]]:
    """Return patterns of image and mask names with one id, and the images without a mask; None where no id is seen."""
    ends = [_end(names) for names in (images, masks)]
    starts = [_start(names) for names in (images, masks)]
    if starts[0] == starts[1]:  # then it belongs to the names of places or events
        starts = ["", ""]
    patterns = [f"{re.escape(start)}(?P<id>.+){re.escape(end)}" for start, end in zip(starts, ends, strict=True)]
    image_ids, mask_ids = (
        {match["id"]: name for name in names if (match := re.fullmatch(pattern, name))}
        for names, pattern in zip((images, masks), patterns, strict=True)
    )
    whole = len(image_ids) == len(images) and len(mask_ids) == len(masks)
    if not whole or not {*mask_ids} <= {*image_ids}:
        return None, []
    unpaired = [name for one, name in image_ids.items() if one not in mask_ids]
    return {"image": patterns[0], "mask": patterns[1]}, unpaired


def _start(names: Sequence[str]) -> str:
    """Return what all names begin with, up to a separator."""
    common = _common(names) if len(names) > 1 else ""
    return re.sub(r"[^\W_]+$", "", common)


def _end(names: Sequence[str]) -> str:
    """Return what all names end with, from a separator on."""
    common = _common([name[::-1] for name in names])[::-1] if len(names) > 1 else Path(names[0]).suffix
    return re.sub(r"^[^\W_]+", "", common)


def _common(names: Sequence[str]) -> str:
    """Return the characters that all names begin with."""
    first, last = min(names), max(names)
    return first[: next((place for place, letter in enumerate(first) if letter != last[place : place + 1]), len(first))]


def _groups(images: Sequence[str]) -> str | None:
    """Return the pattern of the longest beginning that several images share; None where there is none."""
    words = [re.split(r"[_\-. ]+", Path(name).stem) for name in images]
    for n in range(max(map(len, words)) - 1, 0, -1):
        pattern = r"(?P<group>[^_\-. ]+(?:[_\-. ]+[^_\-. ]+){%d})[_\-. ].*" % (n - 1)  # noqa: UP031 - braces abound
        matches = [re.fullmatch(pattern, name) for name in images]
        found = Counter(match["group"] for match in matches if match)
        if None not in matches and 3 <= len(found) <= len(images) * 2 / 3:
            return pattern
    return None


def _groups_of(files: Sequence[RasterFile], pattern: str) -> str:
    groups = Counter(match["group"] for file in files if (match := re.fullmatch(pattern, file.name)))
    return f"{len(groups)} groups, such as {some_of(sorted(groups))}"


def _look_at_images(files: Sequence[RasterFile], proposal: Proposal) -> None:
    """Propose bands, patch size and training bands."""
    shapes: Counter[tuple[int, int, int]] = Counter()
    names: Counter[tuple[str | None, ...]] = Counter()
    kinds: Counter[str] = Counter()
    for file in files:
        with _opened(file) as raster:
            shapes[raster.count, raster.height, raster.width] += 1
            names[raster.descriptions] += 1
            kinds.update({*raster.dtypes})
    (count, height, width), _ = shapes.most_common(1)[0]
    ((described, _),) = names.most_common(1)
    known = len({*described}) == count and all(described)
    bands = list(described) if known else [f"band_{number}" for number in range(1, count + 1)]
    if not known:
        proposal.guesses.append(f"dataset.bands: the files don't name their {count} bands; name them in file order")
    if len(shapes) > 1 or height != width:
        sizes = ", ".join(f"{n} of {h} x {w} px with {c} bands" for (c, h, w), n in shapes.most_common())
        proposal.guesses.append(
            f"dataset.patch_size: patches have to be squares of one size with the same bands, and these are {sizes}; "
            "cut them alike"
        )
    proposal.dataset |= {"bands": bands, "patch_size": height}
    if unfit := [kind for kind in kinds if not np.issubdtype(np.dtype(kind), np.integer)]:
        proposal.guesses.append(f"images hold {', '.join(unfit)}: integers from 0 to 65535 are read, scale them first")


def _look_at_masks(files: Sequence[RasterFile], proposal: Proposal) -> list[str]:
    """Propose a value that means unknown, and tell what values are taken for an event; return who of them holds one."""
    values, with_event = set[float](), list[str]()
    for file in files[:: max(1, len(files) // _MASKS_READ)]:
        with _opened(file) as raster:
            if raster.count > 1:
                raise RequestError(
                    f"{file}: has {raster.count} bands, as images do; masks have one, 0 where there is no event. Are "
                    "--images and --masks swapped?"
                )
            found = {*np.unique(raster.read(1)).tolist()}
        values |= found
        with_event += [file.name] if found - {0} else []
    events = sorted(values - {0})
    if len(events) > _MANY_VALUES:
        proposal.guesses.insert(
            0,
            f"masks: hold {len(events)} different values above 0, as images do. Are these the masks? All but 0 count "
            "as the event",
        )
        return []
    if len(events) > 1 and events[-1] == 255:
        proposal.dataset["mask_ignore"] = 255
        proposal.guesses.append("dataset.mask_ignore: masks hold 255 beside smaller values; it is taken for unknown")
        events.pop()
    if len(events) > 1:
        shown = some_of([f"{value:g}" for value in events])
        proposal.guesses.append(f"masks hold {shown}: all but 0 count as the event")
    if not events:
        proposal.guesses.append("masks: the ones looked at hold no event (all 0)")
    return with_event


@contextmanager
def _opened(file: RasterFile) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # images of one's own may have no place
            with file.open() as raster:
                yield raster
    except (RasterioError, BadZipFile) as error:
        raise RequestError(f"{file}: can't be read ({error}); repair or remove it") from error
