"""What one config adds: model, masks, painted patches, screening, overlay. Empty or not, none is skipped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from firefusion_assets.lineage.fingerprints import STEP_VERSIONS, UPSTREAM
from firefusion_assets.orchestration import checks
from firefusion_assets.orchestration.executors import GPU_OP_TAGS, GPU_POOL, leased_gpus
from firefusion_assets.orchestration.partitions import AUGMENTATIONS
from firefusion_assets.orchestration.publishing import picture_metadata, progress_of, published, user_errors
from firefusion_assets.orchestration.resources import Workspace


@dg.asset(
    group_name="augmentation",
    kinds={"yaml"},
    partitions_def=AUGMENTATIONS,
    code_version=str(STEP_VERSIONS["augmentation_config"]),
)
def augmentation_config(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """The augmentation config with everything it extends; its data version is its fingerprint.

    Publishes `config.yaml`. A base model or package that can't be had is told here, before anything is made with it.
    """
    from firefusion_assets.steps.preflight import require_engine

    lineage, key = workspace.lineage(), context.partition_key
    with user_errors():
        config = lineage.config(key)

        def make(work: Path) -> Mapping[str, Any]:
            import yaml

            require_engine(config.generator, lineage.folder, key)
            (work / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
            return {"engine": config.generator.engine, "images": config.sampling.images}

        artifact = lineage.build("augmentation_config", key, make, progress_of(context))
    return published(artifact, config=dg.MetadataValue.json(config.model_dump(mode="json")))


@dg.asset(
    group_name="augmentation",
    kinds={"pytorch", "huggingface"},
    partitions_def=AUGMENTATIONS,
    deps=list(UPSTREAM["finetuned_model"]),
    pool=GPU_POOL,
    op_tags=GPU_OP_TAGS,
    code_version=str(STEP_VERSIONS["finetuned_model"]),
)
def finetuned_model(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """The generator, fitted on the train part of each fold.

    Publishes `fold-N/`, whatever the engine paints from: a diffusers pipeline (or adapters) with its history, a library
    of real fires, images at 30 m.
    """
    from firefusion_assets.engines.contract import NoFireError, TrainerError
    from firefusion_assets.steps.preflight import check_before_work

    lineage, key = workspace.lineage(), context.partition_key

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.inpainting.plan import choose
        from firefusion_assets.lineage.folds import read_folds
        from firefusion_assets.orchestration.trainer import launched_by
        from firefusion_assets.steps.augmenting import fit_folds
        from firefusion_assets.steps.samples import model_sheet
        from firefusion_assets.study.engine import Run

        config, folds = lineage.config(key), read_folds(lineage)
        generator = config.generator.resolved(lineage.folder)
        if config.sampling.tries:  # a plan that can't be made is told before anything is fitted
            for fold in folds:
                choose(fold.train, fold.table, lineage.study.backgrounds, config.masks)
        facts = fit_folds(generator, folds, work, Run(progress_of(context), launched_by(context)))
        sheet = model_sheet(generator, folds[0].train, work / folds[0].folder)
        if sheet is not None:
            sheet.save(work / "sheet.png")
        return {"engine": generator.engine, **facts}

    with user_errors(NoFireError, TrainerError, ValueError), leased_gpus():
        check_before_work(lineage, key, fitting=True)
        artifact = lineage.build("finetuned_model", key, make, progress_of(context))
    looks = sorted(artifact.path.glob("fold-0/validation-*.png"))
    shown: dict[str, Any] = {picture.stem: picture_metadata(picture) for picture in looks}
    return published(artifact, artifact.path / "sheet.png", **shown)


@dg.asset(
    group_name="augmentation",
    kinds={"numpy", "parquet"},
    partitions_def=AUGMENTATIONS,
    deps=list(UPSTREAM["inpainting_masks"]),
    code_version=str(STEP_VERSIONS["inpainting_masks"]),
)
def inpainting_masks(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Where fires are to be painted: rows of background, mask, crop and seed, in painting order.

    Publishes `fold-N/`: `plan.parquet`, `labels.npy`, `edits.npy`, and `backgrounds.parquet`: why a patch of the train
    part is no background.
    """
    import pandas as pd

    from firefusion_assets.inpainting.plan import JUDGED, PlanError
    from firefusion_assets.orchestration.rejections import rejection_metadata
    from firefusion_assets.steps.preflight import require_sun

    lineage, key = workspace.lineage(), context.partition_key

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.inpainting.plan import write_plan
        from firefusion_assets.lineage.folds import read_folds
        from firefusion_assets.steps.samples import plan_sheet

        config, folds = lineage.config(key), read_folds(lineage)
        facts = [
            write_plan(
                fold.train,
                fold.table,
                lineage.study.backgrounds,
                config.masks,
                config.sampling,
                fold.number,
                work / fold.folder,
            )
            for fold in folds
        ]
        if config.sampling.tries:
            plan_sheet(folds[0].train, work / folds[0].folder).save(work / "sheet.png")
        return {"kind": config.masks.kind, **{name: sum(fold[name] for fold in facts) for name in facts[0]}}

    with user_errors(PlanError):
        require_sun(lineage, key)
        artifact = lineage.build("inpainting_masks", key, make, progress_of(context))
    first = artifact.path / "fold-0" / JUDGED
    shown = rejection_metadata(pd.read_parquet(first)) if first.is_file() else {}
    return published(artifact, artifact.path / "sheet.png", **shown)


@dg.asset(
    group_name="augmentation",
    kinds={"pytorch", "numpy"},
    partitions_def=AUGMENTATIONS,
    deps=list(UPSTREAM["synthetic_images"]),
    pool=GPU_POOL,
    op_tags=GPU_OP_TAGS,
    code_version=str(STEP_VERSIONS["synthetic_images"]),
    check_specs=checks.specs("synthetic_images", checks.BACKGROUND_UNTOUCHED),
)
def synthetic_images(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Fires painted into real patches down the plan, until enough pass the screening.

    Publishes `fold-N/`: chunks of painted patches and `provenance.parquet`, a row a patch.
    """
    from firefusion_assets.steps.preflight import check_before_work

    lineage, key = workspace.lineage(), context.partition_key

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.lineage.folds import read_folds
        from firefusion_assets.steps.augmenting import paint_fold

        counts = [paint_fold(lineage, key, fold, work, progress_of(context)) for fold in read_folds(lineage)]
        return {name: sum(count[name] for count in counts) for name in counts[0]}

    with user_errors(ValueError), leased_gpus():
        check_before_work(lineage, key, fitting=False)
        artifact = lineage.build("synthetic_images", key, make, progress_of(context))
    changed = artifact.facts["n_values_changed_outside"]
    return published(
        artifact,
        checks=[checks.result(checks.BACKGROUND_UNTOUCHED, changed == 0, n_values_changed_outside=changed)],
    )


@dg.asset(
    group_name="augmentation",
    kinds={"numpy", "parquet"},
    partitions_def=AUGMENTATIONS,
    deps=list(UPSTREAM["screened_images"]),
    code_version=str(STEP_VERSIONS["screened_images"]),
    check_specs=checks.specs("screened_images", checks.ENOUGH_ACCEPTED, checks.NO_COPIES),
)
def screened_images(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Which painted patches, and which of their pixels, may be learned from.

    Publishes `fold-N/`: `verdicts.parquet` (accept or reject with reason), `labels.npy`, `ignored.npy`; examples.
    """
    lineage, key = workspace.lineage(), context.partition_key

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.lineage.folds import read_folds
        from firefusion_assets.steps.augmenting import screen_folds

        return screen_folds(lineage, key, read_folds(lineage), work)

    with user_errors():
        artifact = lineage.build("screened_images", key, make, progress_of(context))
    facts = artifact.facts
    copied = 0 if lineage.config(key).generator.copies else facts["n_copies"]
    enough = facts["n_images"] == facts["wanted"] and (facts["wanted"] == 0 or facts["accepted_share"] >= 0.5)
    return published(
        artifact,
        artifact.path / "sheet.png",
        [
            checks.result(checks.ENOUGH_ACCEPTED, enough, accepted=facts["n_images"], wanted=facts["wanted"]),
            checks.result(checks.NO_COPIES, copied == 0, n_copies=facts["n_copies"]),
        ],
    )


@dg.asset(
    group_name="augmentation",
    kinds={"lmdb"},
    partitions_def=AUGMENTATIONS,
    deps=list(UPSTREAM["augmented_lmdb"]),
    code_version=str(STEP_VERSIONS["augmented_lmdb"]),
    check_specs=checks.specs("augmented_lmdb", checks.STORE_INTACT, checks.COUNTS_MATCH),
)
def augmented_lmdb(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """The accepted patches as an overlay over the base store: only what this config adds.

    Publishes `overlay.lmdb`.
    """
    from firefusion_assets.patchstore import LeakError

    lineage, key = workspace.lineage(), context.partition_key

    def make(work: Path) -> Mapping[str, Any]:
        from firefusion_assets.lineage.folds import read_folds
        from firefusion_assets.steps.augmenting import write_overlay

        return write_overlay(lineage, key, read_folds(lineage), work)

    with user_errors(LeakError):
        artifact = lineage.build("augmented_lmdb", key, make, progress_of(context))
    damages = lineage.store.damages(artifact, contents=False)
    added, accepted = artifact.facts["n_added"], artifact.facts["n_accepted"]
    return published(
        artifact,
        checks=[
            checks.result(checks.STORE_INTACT, not damages, damages="\n".join(damages) or None),
            checks.result(checks.COUNTS_MATCH, added == accepted, added=added, accepted=accepted),
        ],
        **{"dagster/row_count": added},
    )
