"""What can be known to fail is told before the first expensive step of a config."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.ingest.base_store import TABLE
from firefusion_assets.landsat.detectors import SUNLESS_DETECTORS
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.study import StudyError
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.base_models import hub_problems
from firefusion_assets.study.generators import FilesGenerator, Generator, StableDiffusionGenerator, resolved
from firefusion_assets.study.models import THESIS_UNET


def check_before_work(lineage: Lineage, key: str, fitting: bool) -> None:
    """Stop if the stored data or this installation can't do what a config and its study ask for.

    Args:
        lineage: of the study.
        key: of the config.
        fitting: whether the generator is about to be fitted; otherwise it is about to paint.

    Raises:
        StudyError: with all problems, each naming file, key and remedy.
    """
    study, config = lineage.folder / "study.yaml", lineage.folder / "augmentations" / f"{key}.yaml"
    problems = [f"{study}: {problem}" for problem in (*_unknown_sun(lineage, key), *_impossible_network(lineage))]
    problems += [f"{config}: {problem}" for problem in _unusable_generator(lineage, key, fitting)]
    if problems:
        raise StudyError(problems)


def problems_without_data(lineage: Lineage, key: str) -> list[str]:
    """Return what keeps a config from running on this machine, as far as that can be told before data is there.

    Raises:
        StudyError: if study or config can't be read.
    """
    study, config = lineage.folder / "study.yaml", lineage.folder / "augmentations" / f"{key}.yaml"
    return [f"{study}: {problem}" for problem in _impossible_network(lineage)] + [
        f"{config}: {problem}" for problem in _unusable_generator(lineage, key, fitting=True)
    ]


def require_base_model(generator: Generator, study_folder: Path, key: str) -> None:
    """Stop if a config's base model can't be had from the hub; local folders are looked at with the config.

    Raises:
        StudyError: naming file, key and remedy.
    """
    problems = list(_missing_from_hub(resolved(generator, study_folder)))
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


def _missing_from_hub(generator: Generator) -> Iterator[str]:
    if isinstance(generator, StableDiffusionGenerator) and not Path(generator.base_model).is_dir():
        for problem in _hub_problems(generator.base_model, generator.revision):
            yield f"generator.base_model: {problem}"


@cache
def _hub_problems(base_model: str, revision: str) -> list[str]:
    """Look once a process: without a network each look takes half a minute, and many configs share a base model."""
    return hub_problems(base_model, revision)


def _unknown_sun(lineage: Lineage, key: str) -> Iterator[str]:
    config = lineage.config(key)
    asked = dict.fromkeys((*config.screening.detectors, config.masks.source))
    detectors = [name for name in asked if name not in ("label", *SUNLESS_DETECTORS)]
    if not detectors:
        return
    patches = lineage.find("landsat_patches", UNPARTITIONED).path
    if pd.read_parquet(patches / TABLE, columns=["sun_elevation"])["sun_elevation"].isna().any():
        yield (
            "dataset.sun_elevation: missing, and some patches are not georeferenced, so it can't be computed; "
            f"the detectors {', '.join(detectors)} of {key!r} need it: set it in degrees, or use "
            "screening.detectors: [] and masks.source: label"
        )


def _impossible_network(lineage: Lineage) -> Iterator[str]:
    training = lineage.study.training
    if training.architecture == THESIS_UNET:
        return
    from firefusion_assets.segmentation.networks import build_network

    try:
        build_network(training.model_copy(update={"encoder_weights": None}))
    except (ValueError, ImportError) as error:
        yield f"training.architecture, training.encoder: {error}"


def _unusable_generator(lineage: Lineage, key: str, fitting: bool) -> Iterator[str]:
    generator, sampling = resolved(lineage.config(key).generator, lineage.folder), lineage.config(key).sampling
    match generator:
        case StableDiffusionGenerator():
            yield from _unusable_stable_diffusion(generator, sampling, fitting)
        case FilesGenerator():
            from firefusion_assets.engines.files.images import listing

            try:
                listing(Path(generator.images), Path(generator.table) if generator.table else None)
            except ValueError as error:
                yield f"generator.images: {error}"


def _unusable_stable_diffusion(generator: StableDiffusionGenerator, sampling: Sampling, fitting: bool) -> Iterator[str]:
    import torch

    yield from _missing_from_hub(generator)
    gpus = torch.cuda.device_count()
    if sampling.mixed_precision == "fp16" and not gpus:
        yield "sampling.mixed_precision: fp16 needs a GPU; use bf16 or no"
    if not fitting or generator.method == "none":
        return
    if generator.mixed_precision == "fp16" and not gpus:
        yield "generator.mixed_precision: fp16 needs a GPU; use bf16 or no"
    if generator.use_8bit_adam and (not gpus or find_spec("bitsandbytes") is None):
        yield "generator.use_8bit_adam: needs a GPU and bitsandbytes; pip install 'firefusion-assets[adam8bit]'"
    if generator.gradient_accumulation_steps % max(1, gpus):
        yield (
            f"generator.gradient_accumulation_steps: {generator.gradient_accumulation_steps} can't be shared out over "
            f"{gpus} GPUs; make it a multiple, or lower FIREFUSION_GPUS_PER_STEP"
        )
