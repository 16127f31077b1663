"""The source that a study names, listed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.ingest.sources.activefire import list_activefire
from firefusion_assets.ingest.sources.folder import list_folder
from firefusion_assets.ingest.sources.patch_inputs import SourceListing, below
from firefusion_assets.ingest.sources.products import ProductListing, list_products
from firefusion_assets.study.datasets import ActiveFireDataset, FolderDataset, LandsatDataset, SimulatedDataset
from firefusion_assets.study.models import Study

SIMULATION_VERSION: Final = 1
"""Raise it when the simulation makes other scenes from the same settings."""


def list_source(
    study: Study, study_folder: Path, store: ArtifactStore, progress: Callable[[str], None]
) -> SourceListing | ProductListing:
    """List the inputs of a study; simulated scenes are made first.

    Raises:
        FileNotFoundError: if a folder, zip, product or table is missing or empty.
    """
    if isinstance(study.dataset, SimulatedDataset):
        scenes = _simulated_scenes(study.dataset, store, progress)
        return list_activefire(scenes / "landsat_patches", scenes / "manual_annotations_patches", "v1", "event-free")
    return list_files(study.dataset, study_folder)


def raw_listing(study: Study, study_folder: Path) -> str:
    """Return a hash of what the raw input is now: names, sizes and times of its files, or the simulation's version."""
    if isinstance(study.dataset, SimulatedDataset):
        return digest(["simulation", SIMULATION_VERSION])
    return digest(list_files(study.dataset, study_folder).raw_input)


def list_files(
    dataset: ActiveFireDataset | FolderDataset | LandsatDataset, study_folder: Path
) -> SourceListing | ProductListing:
    """List the files of a data set.

    Raises:
        FileNotFoundError: if a folder, zip, product or table is missing or empty.
    """
    if isinstance(dataset, LandsatDataset):
        return list_products(dataset, study_folder)
    if isinstance(dataset, FolderDataset):
        return list_folder(dataset, study_folder)
    images, masks = below(study_folder, dataset.images), below(study_folder, dataset.masks)
    return list_activefire(images, masks, dataset.mask_label, dataset.missing_mask)


def _simulated_scenes(dataset: SimulatedDataset, store: ArtifactStore, progress: Callable[[str], None]) -> Path:
    settings = dataset.model_dump(
        mode="json", include={"scenes", "patches_per_scene", "patch_size", "fire_share", "seed"}
    )

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.simulation.simulate import simulate

        simulate(dataset, work, progress)
        return {"n_scenes": dataset.scenes}

    return store.build("simulated_scenes", digest([SIMULATION_VERSION, settings]), make, progress).path
