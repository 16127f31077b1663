"""What a study or a config takes over from another: `extends`, followed to its end.

A study that extends another has its configs too, and reads its base store unless it has a data set of its own.
"""

import difflib
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final

from firefusion_assets.study.problems import StudyError
from firefusion_assets.study.yaml_files import Settings, YamlError, read_yaml

_NAMED_BY: Final = {"dataset": "source", "generator": "engine", "masks": "kind", "of": "kind"}
"""The key of a section that says what its other keys are: another one starts the section anew."""

_KEPT: Final = {"masks": ("source", "whole", "avoid", "dilation")}
"""Keys that mean the same whatever that one says."""


def read_study(folder: Path) -> Settings:
    """Return a study's own settings and those it takes over; each keeps the place where it was written.

    Raises:
        StudyError: if a file is missing or no YAML, or studies extend each other in a circle.
    """
    own, *others = (_read(one / "study.yaml") for one in _study_folders(folder))
    values = reduce(_merge, (other.values for other in reversed(others)), dict[str, Any]())
    taken = {name: value for name, value in values.items() if name not in ("name", "description", "extends")}
    places = reduce(lambda below, other: below | other.places, reversed([own, *others]), dict[tuple[str, ...], str]())
    return Settings(_merge(taken, own.values), places)


def data_folder(folder: Path) -> Path:
    """Return the folder of the study whose base store a study reads: the nearest that has a data set of its own."""
    folders = _study_folders(folder)
    return next((one for one in folders if "dataset" in _read(one / "study.yaml").values), folders[0])


def config_files(folder: Path) -> dict[str, Path]:
    """Return the file of each config of a study by its key, those of studies that it extends among them.

    Raises:
        StudyError: if there is no study folder, or a file's name doesn't end in .yaml.
    """
    if not folder.is_dir():
        raise StudyError(
            [f"{folder}: there is no such study folder; name one with a study.yaml (--study, FIREFUSION_STUDY)"]
        )
    found: dict[str, Path] = {}
    for one in reversed(_study_folders(folder)):
        files = [file for file in (one / "augmentations").glob("*") if file.suffix.lower() in (".yaml", ".yml")]
        unread = sorted(file for file in files if file.suffix != ".yaml")
        if unread:
            raise StudyError(f"{file}: rename it; the name of a config ends in .yaml" for file in unread)
        found |= {file.stem: file for file in files}
    return found


def read_config(folder: Path, key: str) -> Settings:
    """Return a config's own settings and those it takes over; each keeps the place where it was written.

    A config that extends its own key takes over that of the study that its own extends.

    Raises:
        StudyError: if a file is missing or no YAML, or configs extend each other in a circle.
    """
    return _resolve(_study_folders(folder), key, ())


def _study_folders(folder: Path) -> list[Path]:
    """Return a study's folder and those of the studies that it extends, one after the other.

    What can't be read extends nothing here: who reads the study tells it.
    """
    folders = [folder]
    while True:
        try:
            parent = _read(folders[-1] / "study.yaml").values.get("extends")
        except StudyError:
            if len(folders) == 1:
                return folders
            raise
        if not isinstance(parent, str):
            return folders
        folders.append((folders[-1] / parent).resolve())
        if folders[-1] in [one.resolve() for one in folders[:-1]]:
            shown = " -> ".join(one.name for one in folders)
            raise StudyError([f"{folders[-2] / 'study.yaml'}: extends: goes round in a circle ({shown})"])


def _resolve(folders: list[Path], key: str, seen: tuple[Path, ...]) -> Settings:
    files = [folder / "augmentations" / f"{key}.yaml" for folder in folders]
    file = next((file for file in files if file.is_file() and file not in seen), None)
    if file is None and any(file in seen for file in files):
        shown = " -> ".join(one.stem for one in seen)
        raise StudyError([f"{seen[-1]}: extends: goes round in a circle ({shown} -> {key})"])
    if file is None:
        known = sorted({*config_files(folders[0])} - {one.stem for one in seen})
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the study has {', '.join(known)}"
        if seen:
            raise StudyError([f"{seen[-1]}: extends: there is no config {key!r}; {hint}"])
        raise StudyError([f"{files[0]}: there is no such augmentation config; {hint}"])
    own = _read(file)
    parent = own.values.get("extends")
    if not isinstance(parent, str):
        return own
    base = _resolve(folders, parent, (*seen, file))
    return Settings(_merge(base.values, own.values), base.places | own.places)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over others, section by section; another engine, source or kind of masks starts its section anew."""
    merged = dict(base)
    for key, value in over.items():
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            name = _NAMED_BY.get(key)
            if name is not None and value.get(name, below.get(name)) != below.get(name):
                below = {kept: below[kept] for kept in _KEPT.get(key, ()) if kept in below}
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _read(file: Path) -> Settings:
    if not file.is_file():
        others = sorted(path.name for path in file.parent.glob("*") if path.stem == file.stem and path.is_file())
        raise StudyError([f"{file}: missing" + (f"; rename {others[0]} to {file.name}" if others else "")])
    try:
        return read_yaml(file)
    except YamlError as error:
        raise StudyError(error.problems) from error
