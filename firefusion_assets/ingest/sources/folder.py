"""Image and mask files of any names: a table or name patterns say what belongs together, and what is a group."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firefusion_assets.core.folders import some_of
from firefusion_assets.core.tables import Row, read_table
from firefusion_assets.ingest.sources.patch_inputs import PatchInput, SourceListing, below
from firefusion_assets.ingest.sources.raster_files import IMAGES, RasterFile, list_rasters, listing
from firefusion_assets.ingest.sources.settings import FolderDataset


def list_folder(dataset: FolderDataset, study_folder: Path) -> SourceListing:
    """Pair the images of one folder with the masks of another.

    Raises:
        FileNotFoundError: if a folder or table is missing or empty.
        ValueError: if a table can't be read or lacks a column.
    """
    images, masks = list_rasters(below(study_folder, dataset.images), below(study_folder, dataset.masks), IMAGES)
    found = _Found(images.problems + masks.problems)
    found.images, found.masks = found.by_file_name(images.files), found.by_file_name(masks.files)
    found.look_for_twins()
    tables = []
    if dataset.pairs.table is not None:
        tables.append(below(study_folder, dataset.pairs.table))
        rows = found.rows(tables[0], ("image", "mask") if dataset.groups else ("image", "mask", "group"))
        pairs = {name: row.cells["mask"] for name, row in rows.items()}
        groups = {name: row.cells["group"] for name, row in rows.items() if "group" in row.cells}
        unpaired = []
    else:
        pairs = found.pairs(str(dataset.pairs.image), str(dataset.pairs.mask))
        unpaired = [name for name, mask in pairs.items() if not mask]
        if dataset.missing_mask == "fail":
            found.problems += [
                f"{found.images[name]}: has no mask; add it, or set dataset.missing_mask: event-free if nothing "
                "happened there"
                for name in unpaired
            ]
            found.unclear.update(unpaired)
    found.problems += [
        f"{mask}: is missing, and {image} needs it; add the mask"
        for image, mask in pairs.items()
        if mask and mask not in found.masks
    ]
    found.problems += [
        f"{file}: is a mask without its image; add the image or remove the mask"
        for name, file in found.masks.items()
        if name not in pairs.values()
    ]
    if dataset.groups is not None and dataset.groups.table is not None:
        tables.append(below(study_folder, dataset.groups.table))
        groups = {name: row.cells["group"] for name, row in found.rows(tables[-1], ("image", "group")).items()}
    elif dataset.groups is not None:
        groups = found.matches("group", str(dataset.groups.pattern), found.images, "groups.pattern")
    groups = found.usable_groups(groups, tables[-1] if tables else None)
    inputs = [
        PatchInput(
            patch_id=found.images[image].stem,
            scene=groups[image],
            image=found.images[image],
            mask=found.masks[mask] if mask else None,
            group=groups[image],
        )
        for image, mask in sorted(pairs.items())
        if image in groups and image not in found.unclear and (not mask or mask in found.masks)
    ]
    return SourceListing(
        inputs=inputs,
        file_bands=dataset.image_bands,
        problems=found.problems,
        raw_input=listing([*images.files, *masks.files]) + [_table_stamp(table) for table in tables],
        without_mask=len([name for name in unpaired if name not in found.unclear]),
        unread=images.unread + masks.unread,
        mask_ignore=dataset.mask_ignore,
    )


def _table_stamp(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return path.name, stat.st_size, stat.st_mtime_ns


@dataclass
class _Found:
    """Images and masks by file name, what is wrong with them, and the images of which nobody knows what they belong to.

    A study that goes on without bad input goes on without the unclear images too.
    """

    problems: list[str]
    images: dict[str, RasterFile] = field(default_factory=dict)
    masks: dict[str, RasterFile] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)

    def by_file_name(self, files: Iterable[RasterFile]) -> dict[str, RasterFile]:
        named: dict[str, RasterFile] = {}
        for file in files:
            if (first := named.setdefault(file.name, file)) is not file:
                self.problems.append(f"{file}: is a duplicate of {first}; file names must differ")
        return named

    def look_for_twins(self) -> None:
        """Patches are named after their images without the ending, so these must differ too."""
        stems: dict[str, RasterFile] = {}
        for name, file in list(self.images.items()):
            if (first := stems.setdefault(file.stem, file)) is not file:
                self.problems.append(f"{file}: its patch would be named as that of {first}; rename one of them")
                del self.images[name]

    def rows(self, table: Path, columns: tuple[str, ...]) -> dict[str, Row]:
        """Return the rows of a table by image: those that name an image which is there, each once."""
        rows, problems = read_table(table, columns)
        by_image: dict[str, Row] = {}
        for row in rows:
            name = row.cells["image"]
            if name not in self.images:
                close = difflib.get_close_matches(name, self.images, n=1)
                remedy = f"did you mean {close[0]!r}?" if close else "correct the name"
                problems.append(f"{row.place}: image {name!r} is not in the images' folder; {remedy}")
            elif (first := by_image.setdefault(name, row)) is not row:
                problems.append(f"{row.place}: names image {name!r} as {first.place} does; remove one of the rows")
                self.unclear.add(name)
        self.problems += problems
        self.problems += [
            f"{file}: is not in {table}; add a row for it" for name, file in self.images.items() if name not in by_image
        ]
        return by_image

    def pairs(self, image_pattern: str, mask_pattern: str) -> dict[str, str]:
        """Return the mask of each image, or an empty name."""
        image_ids = self.matches("id", image_pattern, self.images, "pairs.image")
        mask_ids = self.matches("id", mask_pattern, self.masks, "pairs.mask")
        used_twice = set()
        for files, ids, what in ((self.images, image_ids, "image"), (self.masks, mask_ids, "mask")):
            for value, names in _by_value(ids).items():
                if len(names) > 1:
                    used_twice.add(value)
                    self.problems.append(
                        f"{files[names[1]]}: has id {value!r} as {some_of(names[:1] + names[2:])} does; change "
                        f"dataset.pairs.{what} so that each {what} has its own"
                    )
        self.unclear |= {name for name, value in image_ids.items() if value in used_twice}
        by_id = {value: name for name, value in mask_ids.items()}
        return {name: by_id.get(value, "") for name, value in image_ids.items()}

    def matches(self, group: str, pattern: str, files: Mapping[str, RasterFile], key: str) -> dict[str, str]:
        """Return what a pattern's group says of each file."""
        compiled = re.compile(pattern)
        values = {}
        for name, file in files.items():
            match = compiled.fullmatch(name)
            if match is None:
                self.problems.append(f"{file}: its name does not match dataset.{key}, {pattern!r}; correct one")
            elif not match[group]:
                self.problems.append(f"{file}: dataset.{key} finds no {group} in its name; correct the pattern")
            else:
                values[name] = match[group]
        return values

    def usable_groups(self, groups: Mapping[str, str], table: Path | None) -> dict[str, str]:
        """Return the groups that have a name; a problem for each that has none, and where two look alike."""
        self.problems += [
            f"{self.images[name]}: has no group; write it down in {table}"
            for name, group in groups.items()
            if not group.strip()
        ]
        usable = {name: group for name, group in groups.items() if group.strip()}
        for names in _by_value({name: _plain(group) for name, group in usable.items()}).values():
            spellings = sorted({usable[name] for name in names})
            if len(spellings) > 1:
                self.unclear.update(names)
                self.problems.append(
                    f"{self.images[names[0]]}: groups {' and '.join(map(repr, spellings))} differ only by spaces or "
                    "letter case; write them alike, or tell them apart"
                )
        return usable


def _plain(group: str) -> str:
    """Return a group's name as it is told from others: without its spelling."""
    return unicodedata.normalize("NFC", " ".join(group.split())).casefold()


def _by_value(names: Mapping[str, str]) -> dict[str, list[str]]:
    by_value = defaultdict(list)
    for name, value in names.items():
        by_value[value].append(name)
    return by_value
