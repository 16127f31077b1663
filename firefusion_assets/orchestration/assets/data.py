"""The data that every config shares: the base store of patches, and the split."""

import dagster as dg

from firefusion_assets.orchestration.checks import store_intact
from firefusion_assets.orchestration.lineage_asset import lineage_asset
from firefusion_assets.orchestration.rejections import rejection_metadata
from firefusion_assets.orchestration.step import Step, table
from firefusion_assets.steps import object_checks as checks


@lineage_asset(
    group="1_data", kinds={"python", "lmdb"}, page="inputs.md", checks=(checks.STORE_INTACT, checks.NO_BAD_FILES)
)
def landsat_patches(step: Step) -> dg.MaterializeResult:
    """Real (or simulated) patches with their labels, checked and written to the base store.

    Publishes `base.lmdb`, `patches.parquet` and `bad_files.csv`. Its metadata tells which patches are no background
    to paint on, and why.
    """
    from firefusion_assets.ingest.base_store import left_out
    from firefusion_assets.steps.patches import build_patches, judged_patches

    # A run for one config reads that config first, so that a mistake in it costs no ingest.
    if (key := step.context.run.tags.get("dagster/partition")) is not None:
        step.lineage.config(key)
    patches, is_new = build_patches(step.lineage, step.progress)
    return step.published(
        patches,
        # Every run comes by here: reading all bytes again is for new objects only.
        [store_intact(step.lineage.store, patches, contents=is_new)],
        **{
            "dagster/row_count": patches.facts["n_patches"],
            "left_out": "\n".join(left_out(patches.facts)) or "nothing",
        },
        **rejection_metadata(judged_patches(step.lineage, patches)),
        table_file="patches.parquet",
    )


@lineage_asset(
    group="1_data", kinds={"python", "parquet"}, page="studies.md", checks=(checks.NO_LEAK, checks.ENOUGH_TESTED)
)
def scene_split(step: Step) -> dg.MaterializeResult:
    """Which group of scenes is in the train, validation and test part of which fold.

    Publishes `split.parquet`: fold, patch_id, group, scene, part, fire_pixels.
    """
    from firefusion_assets.steps.patches import split_scenes

    split = step.build(split_scenes)
    return step.published(split, parts=table(split.facts["parts"]), table_file="split.parquet")
