"""The job that maps fires in whole scenes with a config's networks: `firefusion map` for the UI and its launchpad."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from firefusion_assets.core.gpu_leases import leased_gpus
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.orchestration.step import rounded, running_step
from firefusion_assets.orchestration.step_options import step_options


class FireMapConfig(dg.Config):
    """What to map with what."""

    model: str = Field(description="A config, or KEY/fold-0/replicate-0 for one of its networks.")
    scenes: list[str] = Field(description="Level-1 products, folders of products or images, image files.")
    output: str = Field("maps", description="Gets a folder a scene; relative to the study folder.")
    threshold: float | None = Field(None, description="Probability of fire; by default that of the validation.")


def fire_map_job(lineage: Lineage) -> dg.JobDefinition:
    """Return the job `<study>_fire_map`; each scene becomes a materialization of `<study>/fire_map`."""
    study, resources = lineage.study.name, lineage.study.resources.fire_map

    @dg.op(out=dg.Out(dg.Nothing), **step_options(resources))
    def map_fires(context: dg.OpExecutionContext, config: FireMapConfig) -> None:
        from firefusion_assets.steps.mapping import load_model, map_record, map_scenes, network_folders

        with running_step(context), leased_gpus(resources.gpus):
            today = Lineage(lineage.folder, lineage.store)
            model = load_model(network_folders(today, config.model), config.threshold)
            paths = [lineage.folder / scene for scene in config.scenes]
            maps = map_scenes(
                model, paths, today.study.dataset.image_bands, lineage.folder / config.output, context.log.info
            )
        for folder in maps:
            record = {name: value for name, value in map_record(folder).items() if isinstance(value, int | float | str)}
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=[study, "fire_map"],
                    partition=folder.name,
                    metadata={name: rounded(value) for name, value in record.items()}
                    | {"path": dg.MetadataValue.path(str(Path(folder).resolve()))},
                )
            )

    @dg.job(
        name=f"{study.replace('-', '_')}_fire_map",
        description="Maps fires in level-1 products or images with the trained networks of a config, as GeoTIFF and "
        "GeoPackage.",
    )
    def job() -> None:
        map_fires()

    return job
