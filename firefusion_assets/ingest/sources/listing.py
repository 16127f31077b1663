"""The source that a study names, listed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.study.models import Study
from firefusion_assets.study.source import Listing, MadeSource

MADE: Final = "made_scenes"
"""Files of a source that makes them itself, in the store."""
_TABLE: Final = 2
"""Raise it when the table of patches says something else of such files."""


def list_source(study: Study, study_folder: Path, store: ArtifactStore, progress: Callable[[str], None]) -> Listing:
    """List the inputs of a study; a source that makes its files makes them first.

    Raises:
        FileNotFoundError: if a folder, zip, product or table is missing or empty.
    """
    source = study.dataset
    if not isinstance(source, MadeSource):
        return source.listing(study_folder)
    fingerprint = digest([source.source, source.made, source.made_from()])
    made = store.build(MADE, fingerprint, partial(source.make, progress=progress), progress)
    return replace(source.listing(made.path), moves=f"{store.root}/")


def raw_listing(study: Study, study_folder: Path) -> str:
    """Return a hash of what the raw input is now: names, sizes and times of files, or the version of their maker."""
    source = study.dataset
    if isinstance(source, MadeSource):
        return digest([source.source, source.made, _TABLE])
    return digest(source.listing(study_folder).raw_input)
