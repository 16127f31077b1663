"""Image and mask GeoTIFFs of any names: a table or name patterns say what belongs together, and what is a group."""

import csv
import re
from pathlib import Path

from firefusion_assets.ingest.sources.patch_inputs import PatchInput, SourceListing, below
from firefusion_assets.ingest.sources.raster_files import RasterFile, list_rasters, listing
from firefusion_assets.study.datasets import FolderDataset


def list_folder(dataset: FolderDataset, study_folder: Path) -> SourceListing:
    """Pair the images of one folder with the masks of another.

    Raises:
        FileNotFoundError: if a folder or table is missing or empty.
        ValueError: if a table lacks a column.
    """
    image_files, mask_files, problems = list_rasters(
        below(study_folder, dataset.images), below(study_folder, dataset.masks)
    )
    images, image_problems = _by_file_name(image_files)
    masks, name_problems = _by_file_name(mask_files)
    problems += image_problems + name_problems
    groups: dict[str, str] = {}
    if dataset.pairs.table is not None:
        table = below(study_folder, dataset.pairs.table)
        rows = _read_table(table, {"image", "mask"} | (set() if dataset.groups else {"group"}))
        pairs = {row["image"]: row["mask"] for row in rows}
        groups = {row["image"]: row["group"] for row in rows if row.get("group")}
        problems += [f"{table}: image {name!r} is not in the images' folder" for name in pairs if name not in images]
        problems += [f"{images[name]}: is not in {table}; add a row for it" for name in images if name not in pairs]
    else:
        pairs, pair_problems = _pairs_by_pattern(str(dataset.pairs.image), str(dataset.pairs.mask), images, masks)
        problems += pair_problems
    problems += [
        f"mask {mask!r} of image {image!r} is missing" for image, mask in pairs.items() if mask and mask not in masks
    ]
    problems += [
        f"{file}: is a mask without its image; add the image or remove the mask"
        for name, file in masks.items()
        if name not in pairs.values()
    ]
    if dataset.groups is not None:
        groups, group_problems = _groups(dataset, study_folder, images)
        problems += group_problems
    problems += [
        f"{images[name]}: has no group; add it to the groups" for name in pairs if name in images and name not in groups
    ]
    inputs = [
        PatchInput(
            patch_id=images[image].stem,
            scene=groups[image],
            image=images[image],
            mask=masks[mask] if mask else None,
            group=groups[image],
        )
        for image, mask in sorted(pairs.items())
        if image in images and image in groups and (not mask or mask in masks)
    ]
    tables = [dataset.pairs.table, dataset.groups.table if dataset.groups else None]
    raw_input = listing([*image_files, *mask_files]) + [
        _table_stamp(below(study_folder, table)) for table in tables if table is not None
    ]
    return SourceListing(inputs, dataset.file_bands or dataset.bands, problems, raw_input)


def _table_stamp(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return path.name, stat.st_size, stat.st_mtime_ns


def _by_file_name(files: list[RasterFile]) -> tuple[dict[str, RasterFile], list[str]]:
    named: dict[str, RasterFile] = {}
    problems = []
    for file in files:
        if file.name in named:
            problems.append(f"{file}: is a duplicate of {named[file.name]}; file names must differ")
        else:
            named[file.name] = file
    return named, problems


def _pairs_by_pattern(
    image_pattern: str, mask_pattern: str, images: dict[str, RasterFile], masks: dict[str, RasterFile]
) -> tuple[dict[str, str], list[str]]:
    image_ids, problems = _match("id", image_pattern, images, "pairs.image")
    mask_ids, mask_problems = _match("id", mask_pattern, masks, "pairs.mask")
    by_id = {value: name for name, value in mask_ids.items()}
    return {name: by_id.get(value, "") for name, value in image_ids.items()}, problems + mask_problems


def _groups(
    dataset: FolderDataset, study_folder: Path, images: dict[str, RasterFile]
) -> tuple[dict[str, str], list[str]]:
    if dataset.groups is None or dataset.groups.table is None:
        return _match("group", str(dataset.groups and dataset.groups.pattern), images, "groups.pattern")
    rows = _read_table(below(study_folder, dataset.groups.table), {"image", "group"})
    return {row["image"]: row["group"] for row in rows}, []


def _match(group: str, pattern: str, files: dict[str, RasterFile], key: str) -> tuple[dict[str, str], list[str]]:
    compiled = re.compile(pattern)
    matches = {name: compiled.fullmatch(name) for name in files}
    problems = [f"{files[name]}: name does not match dataset.{key}" for name, match in matches.items() if not match]
    return {name: match[group] for name, match in matches.items() if match}, problems


def _read_table(path: Path, columns: set[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such table; correct its path in study.yaml")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = columns - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: lacks column {', '.join(sorted(missing))}")
        return list(reader)
