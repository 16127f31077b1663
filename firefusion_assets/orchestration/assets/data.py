"""The data every config shares: the base store of patches, and the split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.lineage.fingerprints import STEP_VERSIONS, UPSTREAM, Lineage
from firefusion_assets.orchestration import checks
from firefusion_assets.orchestration.publishing import progress_of, published, table, user_errors
from firefusion_assets.orchestration.resources import Workspace


@dg.asset(
    group_name="data",
    kinds={"python", "lmdb"},
    code_version=str(STEP_VERSIONS["landsat_patches"]),
    check_specs=checks.specs("landsat_patches", checks.STORE_INTACT, checks.NO_BAD_FILES),
)
def landsat_patches(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Real (or simulated) patches with their labels, checked and written to the base store.

    Publishes `base.lmdb`, `patches.parquet` and `bad_files.csv`. Its metadata tells which patches are no background
    to paint on, and why.
    """
    import pandas as pd

    from firefusion_assets.ingest.base_store import TABLE
    from firefusion_assets.ingest.sources.patch_inputs import BadInputError
    from firefusion_assets.inpainting.backgrounds import judge
    from firefusion_assets.orchestration.rejections import rejection_metadata

    lineage = workspace.lineage()
    with user_errors(BadInputError, ValueError):
        # A run for one config reads that config first, so that a mistake in it costs no ingest.
        key = context.run.tags.get("dagster/partition")
        if key is not None:
            lineage.config(key)
        artifact, is_new = _patches(lineage, context)
    # Every run comes by here: reading all bytes again is for new objects only.
    damages = lineage.store.damages(artifact, contents=is_new)
    facts = artifact.facts
    bad = facts["bad_files"]
    patches = pd.read_parquet(artifact.path / TABLE).set_index("patch_id")
    return published(
        artifact,
        artifact.path / "sheet.png",
        [
            checks.result(checks.STORE_INTACT, not damages, damages="\n".join(damages) or None),
            checks.result(checks.NO_BAD_FILES, not bad, bad_files="\n".join(bad) or None),
        ],
        **{"dagster/row_count": facts["n_patches"]},
        **rejection_metadata(judge(patches, lineage.study.backgrounds, lineage.study.dataset.patch_size)),
    )


@dg.asset(
    group_name="data",
    kinds={"python", "parquet"},
    deps=list(UPSTREAM["scene_split"]),
    code_version=str(STEP_VERSIONS["scene_split"]),
    check_specs=checks.specs("scene_split", checks.NO_LEAK),
)
def scene_split(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Which group of scenes is in the train, validation and test part of which fold.

    Publishes `split.parquet`: fold, patch_id, group, scene, part, fire_pixels.
    """
    from firefusion_assets.ingest.split import SplitError

    lineage = workspace.lineage()

    def make(work: Path) -> Mapping[str, Any]:
        import pandas as pd

        from firefusion_assets.ingest.split import leaks, split_patches, split_summary

        patches = pd.read_parquet(lineage.find("landsat_patches", UNPARTITIONED).path / "patches.parquet")
        split = split_patches(patches, lineage.study.split)
        split.to_parquet(work / "split.parquet", index=False)
        return {
            "n_folds": lineage.study.split.folds,
            "n_groups": int(split["group"].nunique()),
            "n_leaks": len(leaks(split)),
            "by": lineage.study.split.by,
            "parts": split_summary(split).to_dict("records"),
        }

    with user_errors(SplitError):
        artifact = lineage.build("scene_split", UNPARTITIONED, make, progress_of(context))
    # A split by patch is leaky by the user's own wish; the report says so at its top.
    passed = artifact.facts["n_leaks"] == 0 or artifact.facts["by"] == "patch"
    return published(
        artifact,
        checks=[checks.result(checks.NO_LEAK, passed, n_leaks=artifact.facts["n_leaks"])],
        parts=table(artifact.facts["parts"]),
    )


def _patches(lineage: Lineage, context: dg.AssetExecutionContext) -> tuple[Any, bool]:
    """Return the object of `landsat_patches`, and whether this call made it."""
    from firefusion_assets.ingest.sources.listing import list_source, raw_listing

    raw_input = raw_listing(lineage.study, lineage.folder)
    progress = progress_of(context)
    made = []

    def make(work: Path) -> Mapping[str, Any]:
        import pandas as pd

        from firefusion_assets.ingest.base_store import BASE_STORE, TABLE, ingest
        from firefusion_assets.steps.samples import patch_sheet

        source = list_source(lineage.study, lineage.folder, lineage.store, progress)
        facts = ingest(lineage.study, source, work, progress)
        patches = pd.read_parquet(work / TABLE)
        patch_sheet(work / BASE_STORE, patches).save(work / "sheet.png")
        made.append(work)
        return {**facts, "raw_input": raw_input}

    artifact = lineage.store.build("landsat_patches", lineage.raw_fingerprint(raw_input), make, progress)
    lineage.store.point("landsat_patches", UNPARTITIONED, artifact)
    return artifact, bool(made)
