"""Reading study.yaml and augmentation configs; one error lists every mistake of a file.

A message names file and key and says what to do. Nothing here looks at the data itself.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from firefusion_assets.core.errors import UserError
from firefusion_assets.landsat.detectors import DETECTOR_BANDS
from firefusion_assets.study.augmentation import Augmentation, augmentation_model
from firefusion_assets.study.models import Study
from firefusion_assets.study.registry import engines
from firefusion_assets.study.yaml_files import Settings, YamlError, read_yaml

ModelT = TypeVar("ModelT", bound=BaseModel)

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")


class StudyError(UserError, ValueError):
    """A study or config that can't be used. The message lists every problem with file, key and remedy.

    Args:
        problems: one line each.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def load_study(folder: Path) -> Study:
    """Read ``study.yaml`` of a study folder.

    Raises:
        StudyError: if folder or file are missing or wrong.
    """
    if not folder.is_dir():
        raise StudyError([f"{folder}: there is no such study folder; set FIREFUSION_STUDY to one with a study.yaml"])
    file = folder / "study.yaml"
    return _validate(Study, _read_yaml(file), file)


def augmentation_keys(folder: Path) -> list[str]:
    """Return the sorted keys of a study: the names of ``augmentations/*.yaml`` without their ending.

    Raises:
        StudyError: if there are none, or names are no slugs.
    """
    if not folder.is_dir():
        raise StudyError([f"{folder}: there is no such study folder; set FIREFUSION_STUDY to one with a study.yaml"])
    files = [file for file in (folder / "augmentations").glob("*") if file.suffix.lower() in (".yaml", ".yml")]
    keys = sorted(file.stem for file in files if file.suffix == ".yaml")
    unread = sorted(file for file in files if file.suffix != ".yaml")
    if unread:
        raise StudyError(f"{file}: rename it; the name of a config ends in .yaml" for file in unread)
    if not keys:
        raise StudyError([f"{folder / 'augmentations'}: holds no *.yaml; add at least one augmentation config"])
    wrong = [key for key in keys if not _SLUG.fullmatch(key)]
    if wrong:
        raise StudyError(
            f"{folder / 'augmentations' / key}.yaml: rename it; a key is made of a-z, 0-9 and -" for key in wrong
        )
    return keys


def load_augmentation(folder: Path, key: str, study: Study | None) -> Augmentation:
    """Read one augmentation config of a study, resolve its `extends` and check it against the study, if that is known.

    Raises:
        StudyError: with all problems of the file.
    """
    file = folder / "augmentations" / f"{key}.yaml"
    settings = _resolve(folder, key, ())
    broken = [f"{file}: {problem}" for problem in _broken_files(settings.values, folder)]
    try:
        config = _validate(augmentation_model(), settings, file)
    except StudyError as error:
        raise StudyError([*error.problems, *broken]) from None
    if broken:
        raise StudyError(broken)
    if study is None:
        return config
    problems = [*config.generator.misfits(study, config), *_detector_misfits(config, study)]
    if problems:
        raise StudyError(f"{file}: {problem}" for problem in problems)
    return config


def _resolve(folder: Path, key: str, seen: tuple[str, ...]) -> Settings:
    """Return a config's own settings and those it takes over; each keeps the place where it was written."""
    file = folder / "augmentations" / f"{key}.yaml"
    if key in seen:
        raise StudyError([f"{file}: extends: goes round in a circle ({' -> '.join((*seen, key))})"])
    if not file.is_file():
        known = ", ".join(augmentation_keys(folder))
        raise StudyError([f"{file}: there is no such augmentation config; the study has {known}"])
    own = _read_yaml(file)
    parent = own.values.get("extends")
    if not isinstance(parent, str):
        return own
    base = _resolve(folder, parent, (*seen, key))
    return Settings(_merge(base.values, own.values), base.places | own.places)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one config over another, section by section; another engine starts its section anew."""
    merged = dict(base)
    for key, value in over.items():
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            same_engine = value.get("engine", below.get("engine")) == below.get("engine")
            merged[key] = _merge(below, value) if same_engine else dict(value)
        else:
            merged[key] = value
    return merged


def _broken_files(values: Mapping[str, Any], folder: Path) -> Iterable[str]:
    """Say which files of an engine can't be used; read from raw values, so that one error lists everything."""
    settings = values.get("generator")
    if not isinstance(settings, Mapping):
        return ()
    engine = engines().get(str(settings.get("engine")))
    return engine.broken_files(settings, folder) if engine is not None else ()


def _detector_misfits(config: Augmentation, study: Study) -> Iterable[str]:
    """Say which detectors of a config can't be used on the study's data."""
    dataset = study.dataset
    wanted = [("screening.detectors", detector, "detectors: []") for detector in config.screening.detectors]
    if config.masks.source != "label":
        wanted.append(("masks.source", config.masks.source, "source: label"))
    for key, detector, without in wanted:
        if dataset.source == "folder":
            yield f"{key}: {detector} is made for Landsat DN; with source `folder` use {without}"
            continue
        missing = [band for band in DETECTOR_BANDS[detector] if band not in dataset.bands]
        if missing:
            yield (
                f"{key}: {detector} needs {', '.join(missing)}, which dataset.bands leaves out; add them there, or use "
                f"{without}"
            )


def _read_yaml(file: Path) -> Settings:
    if not file.is_file():
        others = sorted(path.name for path in file.parent.glob("*") if path.stem == file.stem and path.is_file())
        raise StudyError([f"{file}: missing" + (f"; rename {others[0]} to {file.name}" if others else "")])
    try:
        return read_yaml(file)
    except YamlError as error:
        raise StudyError(error.problems) from error


def _validate(model: type[ModelT], settings: Settings, file: Path) -> ModelT:
    try:
        return model.model_validate(settings.values)
    except ValidationError as error:
        raise StudyError(_problem(model, settings, file, details) for details in error.errors()) from None


def _problem(model: type[BaseModel], settings: Settings, named: Path, details: ErrorDetails) -> str:
    """Turn one finding of pydantic into a line with file, line, key and remedy.

    What is missing has no line; it is looked for in the file that was named.
    """
    location, siblings = _locate(model, [str(part) for part in details["loc"]])
    missing = details["type"] == "missing"
    key, file = ".".join(location), str(named) if missing else settings.places.get(tuple(location), str(named))
    if details["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], siblings, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(siblings)}"
        return f"{file}: {key}: unknown key; {hint}"
    if details["type"] == "model_type":
        return (
            f"{file}: {key}: holds {details['input']!r}, expected keys with values; known here: {', '.join(siblings)}"
        )
    if missing:
        return f"{file}: {key}: missing; add it"
    if details["type"] == "union_tag_not_found":
        return f"{file}: {key}.{_discriminator(details)}: missing; add it"
    if details["type"] == "union_tag_invalid":
        chosen, known = details["ctx"]["tag"], details["ctx"]["expected_tags"]
        hint = _nearest(chosen, known)
        return f"{file}: {key}.{_discriminator(details)}: {chosen!r} is unknown; known are {known}{hint}"
    if details["type"] == "literal_error":
        chosen, known = details["input"], details["ctx"]["expected"]
        return f"{file}: {key}: {chosen!r} is unknown; known are {known}{_nearest(chosen, known)}"
    if details["type"] == "string_type" and "bands" in location and isinstance(details["input"], int):
        return f"{file}: {key}: a band's name is text; write B{details['input']}"
    message = details["msg"].removeprefix("Value error, ")
    given = "" if isinstance(details["input"], dict) else f" (given: {details['input']!r})"
    return f"{file}: {key + ': ' if key else ''}{message}{given}"


def _nearest(chosen: object, known: str) -> str:
    """Return a hint at the choice that was probably meant; the choices come in quotes."""
    close = difflib.get_close_matches(str(chosen), re.findall("'([^']*)'", known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _discriminator(details: ErrorDetails) -> str:
    """Return the key that says which of several models is meant."""
    return str(details["ctx"]["discriminator"]).strip("'")


def _locate(model: type[BaseModel], location: list[str]) -> tuple[list[str], list[str]]:
    """Return a location without the union variants that pydantic puts into it, and the keys known there."""
    keys: list[str] = []
    variants = [model]
    for part in location:
        fields = {name: field for variant in variants for name, field in variant.model_fields.items()}
        tagged = [variant for variant in variants if part in _tags(variant)]
        if part in fields:
            keys.append(part)
            variants = _models_in(fields[part].annotation) or variants
        elif tagged:
            variants = tagged
        else:
            keys.append(part)
    return keys, list(dict.fromkeys(name for variant in variants for name in variant.model_fields))


def _tags(model: type[BaseModel]) -> set[str]:
    """Return the values by which a variant is chosen."""
    discriminators = [model.model_fields[name] for name in ("engine", "source") if name in model.model_fields]
    return {value for field in discriminators for value in get_args(field.annotation)}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field's annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
