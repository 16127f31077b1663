"""Reading study.yaml and augmentation configs; one error lists every mistake of a file.

A message names file and key and says what to do. Nothing here looks at the data itself.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from firefusion_assets.landsat.detectors import DETECTOR_BANDS
from firefusion_assets.study.augmentation import Augmentation
from firefusion_assets.study.engine import Engine
from firefusion_assets.study.extending import config_files, read_config, read_study
from firefusion_assets.study.models import Study
from firefusion_assets.study.problems import StudyError, problem_line, relevant
from firefusion_assets.study.registry import known
from firefusion_assets.study.yaml_files import Settings

ModelT = TypeVar("ModelT", bound=BaseModel)

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")


def load_study(folder: Path) -> Study:
    """Read ``study.yaml`` of a study folder.

    Raises:
        StudyError: if folder or file are missing or wrong.
    """
    if not folder.is_dir():
        raise StudyError(
            [f"{folder}: there is no such study folder; name one with a study.yaml (--study, FIREFUSION_STUDY)"]
        )
    file = folder / "study.yaml"
    study, known = _validate(Study, read_study(folder), file), sorted(config_files(folder))
    contrasts = study.report.contrasts or ()
    named = dict.fromkeys(key for contrast in contrasts for key in contrast)
    problems = [f"{key!r} is no config of the study; there are {', '.join(known)}" for key in named if key not in known]
    problems += [
        f"{first!r} is compared with itself" for first, other in study.report.contrasts or () if first == other
    ]
    if problems:
        raise StudyError(f"{file}: report.contrasts: {problem}" for problem in problems)
    return study


def augmentation_keys(folder: Path) -> list[str]:
    """Return the sorted keys of a study: the names of ``augmentations/*.yaml``, its own and those it takes over.

    Raises:
        StudyError: if there are none, or names are no slugs.
    """
    files = config_files(folder)
    keys = sorted(files)
    if not keys:
        raise StudyError([f"{folder / 'augmentations'}: holds no *.yaml; add at least one augmentation config"])
    wrong = [key for key in keys if not _SLUG.fullmatch(key)]
    if wrong:
        raise StudyError(f"{files[key]}: rename it; a key is made of a-z, 0-9 and -" for key in wrong)
    return keys


def load_augmentation(folder: Path, key: str, study: Study | None) -> Augmentation:
    """Read one augmentation config of a study, resolve its `extends` and check it against the study, if that is known.

    Raises:
        StudyError: with all problems of the file.
    """
    settings = read_config(folder, key)
    file = config_files(folder)[key]
    broken = [f"{file}: {problem}" for problem in _broken_files(settings.values, file.parents[1])]
    try:
        config = _validate(Augmentation, settings, file)
    except StudyError as error:
        raise StudyError([*error.problems, *broken]) from None
    if broken:
        raise StudyError(broken)
    if study is None:
        return config
    problems = [*config.generator.misfits(study, config), *_detector_misfits(config, study)]
    problems += [f"masks.{line}" for line in config.masks.misfits(study)]
    problems += [f"screening.rules.{line}" for rule in config.screening.rules for line in rule.misfits(study)]
    if problems:
        # What was taken over is told where it is written.
        places = (settings.places.get(tuple(problem.partition(":")[0].split(".")), file) for problem in problems)
        raise StudyError(f"{place}: {problem}" for place, problem in zip(places, problems, strict=True))
    return config


def _broken_files(values: Mapping[str, Any], folder: Path) -> Iterable[str]:
    """Say which files of an engine can't be used; read from raw values, so that one error lists everything."""
    settings = values.get("generator")
    if not isinstance(settings, Mapping):
        return ()
    engine = known(Engine).get(str(settings.get("engine")))
    return engine.broken_files(settings, folder) if engine is not None else ()


def _detector_misfits(config: Augmentation, study: Study) -> Iterable[str]:
    """Say which detectors of a config can't be used on the study's data."""
    dataset = study.dataset
    wanted = [("screening.detectors", detector, "detectors: []") for detector in config.screening.detectors]
    if config.masks.source != "label":
        wanted.append(("masks.source", config.masks.source, "source: label"))
    for key, detector, without in wanted:
        if not dataset.landsat:
            yield f"{key}: {detector} is made for Landsat DN; with source `{dataset.source}` use {without}"
            continue
        missing = [band for band in DETECTOR_BANDS[detector] if band not in dataset.bands]
        if missing:
            yield (
                f"{key}: {detector} needs {', '.join(missing)}, which dataset.bands leaves out; add them there, or use "
                f"{without}"
            )


def _validate(model: type[ModelT], settings: Settings, file: Path) -> ModelT:
    try:
        return model.model_validate(settings.values)
    except ValidationError as error:
        raise StudyError(problem_line(model, settings, file, details) for details in relevant(error.errors())) from None
