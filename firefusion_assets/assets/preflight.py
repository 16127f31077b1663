"""What can be known to fail is told before the first expensive step of a config."""

from collections.abc import Iterator

import pandas as pd

from firefusion_assets.artifacts.lineage import Lineage
from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.landsat.ingest import TABLE
from firefusion_assets.study import StudyError
from firefusion_assets.study.models import THESIS_UNET


def check_before_work(lineage: Lineage, key: str) -> None:
    """Stop if the stored data or this installation can't do what a config and its study ask for.

    Raises:
        StudyError: with all problems, each naming file, key and remedy.
    """
    file = lineage.folder / "study.yaml"
    problems = [f"{file}: {problem}" for problem in (*_unknown_sun(lineage, key), *_impossible_network(lineage))]
    if problems:
        raise StudyError(problems)


def _unknown_sun(lineage: Lineage, key: str) -> Iterator[str]:
    detectors = lineage.config(key).screening.detectors
    if not detectors:
        return
    patches = lineage.find("landsat_patches", UNPARTITIONED).path
    if pd.read_parquet(patches / TABLE, columns=["sun_elevation"])["sun_elevation"].isna().any():
        yield (
            "dataset.sun_elevation: missing, and some patches are not georeferenced, so it can't be computed; "
            f"the detectors {', '.join(detectors)} of {key!r} need it: set it in degrees, or use "
            "screening.detectors: []"
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
