"""Everything that is known to fail is reported before the first expensive step of a config."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pandas as pd

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.core.hub import HubError, hub_file
from firefusion_assets.ingest.base_store import TABLE
from firefusion_assets.landsat.detectors import SUNLESS_DETECTORS
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.study import StudyError
from firefusion_assets.study.engine import Engine, Progress
from firefusion_assets.study.models import THESIS_UNET

_SMP: Final = "segmentation_models_pytorch"


def check_before_work(lineage: Lineage, key: str, fitting: bool, progress: Progress) -> None:
    """Stop if the stored data or this installation can't do what a config and its study ask for.

    Args:
        lineage: of the study.
        key: of the config.
        fitting: whether the generator is about to be fitted; otherwise it is about to paint.
        progress: called with what is asked for elsewhere.

    Raises:
        StudyError: with all problems, each naming file, key and remedy.
    """
    study, config = lineage.folder / "study.yaml", lineage.config_folder(key) / "augmentations" / f"{key}.yaml"
    problems = [
        f"{study}: {problem}" for problem in (*_unknown_sun(lineage, key), *_impossible_network(lineage, progress))
    ]
    problems += [f"{config}: {problem}" for problem in _unusable_generator(lineage, key, fitting, progress)]
    if problems:
        raise StudyError(problems)


def problems_without_data(lineage: Lineage, key: str, progress: Progress) -> list[str]:
    """Return what keeps a config from running on this machine, as far as that is known before data is there.

    Args:
        lineage: of the study.
        key: of the config.
        progress: called with what is asked for elsewhere.

    Raises:
        StudyError: if study or config can't be read.
    """
    study, config = lineage.folder / "study.yaml", lineage.config_folder(key) / "augmentations" / f"{key}.yaml"
    return [f"{study}: {problem}" for problem in _impossible_network(lineage, progress)] + [
        f"{config}: {problem}" for problem in _unusable_generator(lineage, key, True, progress)
    ]


def require_network(lineage: Lineage, progress: Progress) -> None:
    """Stop if the study's network can't be built here, or its encoder's weights can't be had from the hub.

    Args:
        lineage: of the study.
        progress: called with what is asked for elsewhere.

    Raises:
        StudyError: naming file, key and remedy.
    """
    problems = list(_impossible_network(lineage, progress))
    if problems:
        raise StudyError(f"{lineage.folder / 'study.yaml'}: {problem}" for problem in problems)


def require_engine(generator: Engine, study_folder: Path, key: str, progress: Progress) -> None:
    """Stop if this installation lacks what a config's engine needs, or its base model can't be had from the hub.

    Args:
        generator: the config's.
        study_folder: of the study that holds the config.
        key: of the config.
        progress: called with what is asked for elsewhere.

    Raises:
        StudyError: naming file, key and remedy.
    """
    problems = _missing_packages(generator) or [*generator.resolved(study_folder).unreachable(progress)]
    if problems:
        raise StudyError(f"{study_folder / 'augmentations' / key}.yaml: {problem}" for problem in problems)


def require_sun(lineage: Lineage, key: str) -> None:
    """Stop if a config's detectors need the sun's elevation, and it is unknown.

    Raises:
        StudyError: naming file, key and remedy.
    """
    problems = list(_unknown_sun(lineage, key))
    if problems:
        raise StudyError(f"{lineage.folder / 'study.yaml'}: {problem}" for problem in problems)


def _missing_packages(generator: Engine) -> list[str]:
    missing = [module for module in generator.modules if find_spec(module) is None]
    if not missing:
        return []
    lacks = f"{generator.engine} needs {', '.join(missing)}, which this installation lacks"
    return [f"generator.engine: {lacks}; pip install '{generator.requirement}'"]


def _unknown_sun(lineage: Lineage, key: str) -> Iterator[str]:
    config = lineage.config(key)
    asked = dict.fromkeys((*config.screening.detectors, config.masks.source))
    detectors = [name for name in asked if name not in ("label", *SUNLESS_DETECTORS)]
    needs = [f"the detectors {', '.join(detectors)}"] if detectors else []
    needs += [f"masks.{key}" for key in ("avoid", "beside") if getattr(config.masks, key)]
    if not needs:
        return
    patches = lineage.find("landsat_patches", UNPARTITIONED).path
    if pd.read_parquet(patches / TABLE, columns=["sun_elevation"])["sun_elevation"].isna().any():
        yield (
            "dataset.sun_elevation: missing, and some patches are not georeferenced, so it can't be computed; "
            f"{' and '.join(needs)} of {key!r} need it: set it in degrees, or use screening.detectors: [], "
            "masks.source: label and neither masks.avoid nor masks.beside"
        )


def _impossible_network(lineage: Lineage, progress: Progress) -> Iterator[str]:
    training = lineage.study.training
    if training.architecture == THESIS_UNET:
        return
    if find_spec(_SMP) is None:
        yield (
            f"training.architecture: {training.architecture} needs {_SMP}, which this installation lacks; "
            f"pip install 'firefusion-assets[smp]', or set {THESIS_UNET}"
        )
        return
    from firefusion_assets.segmentation.networks import build_network, weights_of_encoder

    try:
        build_network(training.model_copy(update={"encoder_weights": None}))
    except (ValueError, ImportError) as error:
        yield f"training.architecture, training.encoder: {error}"
        return
    known, chosen = weights_of_encoder(training.encoder), training.encoder_weights
    if chosen is None or known is None:
        return
    if chosen not in known:
        there = f"{training.encoder} has {', '.join(sorted(known))}" if known else f"{training.encoder} has none"
        yield (
            f"training.encoder_weights: {chosen!r} is unknown; {there}; leave it out to start from random weights. "
            "Weights are fetched from the hub at first use, or read from its cache where there is no network"
        )
        return
    try:
        hub_file(*known[chosen], progress=progress)
    except HubError as error:
        yield f"training.encoder_weights: {error}, or leave it out to start from random weights"


def _unusable_generator(lineage: Lineage, key: str, fitting: bool, progress: Progress) -> Iterator[str]:
    config = lineage.config(key)
    generator = config.generator.resolved(lineage.config_folder(key))
    # What an engine asks may need its packages.
    yield from _missing_packages(generator) or (
        *generator.unreachable(progress),
        *generator.problems(config.sampling, fitting),
    )
