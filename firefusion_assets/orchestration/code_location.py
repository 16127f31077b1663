"""A study as a code location: its assets, job and schedule under its own name, so that studies live side by side."""

import dagster as dg

from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.orchestration.assets import LINEAGE
from firefusion_assets.orchestration.automation import automation
from firefusion_assets.orchestration.executors import executor
from firefusion_assets.orchestration.fire_map import fire_map_job
from firefusion_assets.orchestration.resources import Workspace
from firefusion_assets.study import augmentation_keys


def build_defs(lineage: Lineage) -> dg.Definitions:
    """Return the definitions of a study.

    The partitions are the names of `augmentations/*.yaml`, read here: after adding a file, reload the code location.

    Raises:
        StudyError: if study.yaml is missing or wrong, or there is no config.
    """
    partitions = dg.StaticPartitionsDefinition(augmentation_keys(lineage.folder))
    lineage_assets = dg.Definitions(
        assets=[asset.of_study(lineage.study, partitions) for asset in LINEAGE],
        executor=executor(lineage.study.resources),
        jobs=[fire_map_job(lineage)],
        resources={"workspace": Workspace(study_folder=str(lineage.folder), artifacts=lineage.store.place)},
    )
    return dg.Definitions.merge(lineage_assets, automation(lineage, partitions))
