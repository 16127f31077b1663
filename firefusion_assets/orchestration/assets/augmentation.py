"""What one config adds: model, masks, painted patches, screening, overlay. Empty or not, none is skipped."""

from functools import partial
from typing import Any

import dagster as dg

from firefusion_assets.lineage.pieces import Pieces
from firefusion_assets.orchestration.checks import store_intact
from firefusion_assets.orchestration.lineage_asset import lineage_asset
from firefusion_assets.orchestration.rejections import rejection_metadata
from firefusion_assets.orchestration.step import Step, picture
from firefusion_assets.steps import object_checks as checks
from firefusion_assets.steps.addresses import address_of


@lineage_asset(group="2_augmentation", kinds={"yaml"}, page="studies.md")
def augmentation_config(step: Step) -> dg.MaterializeResult:
    """The augmentation config with everything it extends; its data version is its fingerprint.

    Publishes `config.yaml`. A base model or package that can't be had fails here, before anything is made with it.
    """
    from firefusion_assets.steps.augmenting import write_config

    config = step.lineage.config(step.key).model_dump(mode="json")
    return step.published(step.build(write_config), config=dg.MetadataValue.json(config))


def _models(step: Step) -> Pieces:
    from firefusion_assets.orchestration.trainer import launched_by
    from firefusion_assets.steps.models import model_pieces

    return model_pieces(step.lineage, step.key, launched_by(step.context))


def _painted(step: Step) -> Pieces:
    from firefusion_assets.steps.painting import painted_pieces

    return painted_pieces(step.lineage, step.key)


@lineage_asset(group="2_augmentation", kinds={"pytorch", "huggingface"}, page="studies.md", pieces=_models)
def finetuned_model(step: Step) -> dg.MaterializeResult:
    """The generator, fitted on the train part of each fold.

    Publishes `fold-N/`, whatever the engine paints from: a diffusers pipeline (or adapters) with its history, a library
    of real fires, images at 30 m.
    """
    from firefusion_assets.orchestration.trainer import launched_by
    from firefusion_assets.steps.models import fit_model

    model = step.build(partial(fit_model, launch=launched_by(step.context)))
    looks = sorted(model.path.glob("fold-0/validation-*.png"))
    shown: dict[str, Any] = {look.stem: picture(look) for look in looks}
    return step.published(model, **shown)


@lineage_asset(group="2_augmentation", kinds={"numpy", "parquet"}, page="studies.md")
def inpainting_masks(step: Step) -> dg.MaterializeResult:
    """Where fires are to be painted: rows of background, mask, crop and seed, in painting order.

    Publishes `fold-N/replicate-R/`: `plan.parquet`, `labels.npy`, `edits.npy`, and `backgrounds.parquet`: why a patch
    of the train part is no background. With `masks.beside` also `plumes.npy`, `scars.npy`, and `beside.json`: what the
    train part shows of smoke and scars.
    """
    from firefusion_assets.steps.augmenting import FORMS, plan_masks, planned_backgrounds
    from firefusion_assets.steps.preflight import require_sun

    require_sun(step.lineage, step.key)
    masks = step.build(plan_masks)
    judged = planned_backgrounds(masks)
    shown: dict[str, Any] = {"forms": picture(masks.path / FORMS)} if (masks.path / FORMS).is_file() else {}
    return step.published(
        masks,
        table_file="fold-0/replicate-0/plan.parquet",
        **({} if judged is None else rejection_metadata(judged)),
        **shown,
    )


@lineage_asset(
    group="2_augmentation",
    kinds={"pytorch", "numpy"},
    page="studies.md",
    checks=(checks.BACKGROUND_UNTOUCHED,),
    pieces=_painted,
)
def synthetic_images(step: Step) -> dg.MaterializeResult:
    """Fires painted into real patches down the plan, until enough pass the screening.

    Publishes `fold-N/replicate-R/`: chunks of painted patches and `provenance.parquet`, a row a patch.
    """
    from firefusion_assets.steps.painting import paint_config

    painted = step.build(paint_config)
    return step.published(painted, table_file="fold-0/replicate-0/provenance.parquet")


@lineage_asset(
    group="2_augmentation",
    kinds={"numpy", "parquet"},
    page="studies.md",
    checks=(checks.ENOUGH_ACCEPTED, checks.NO_COPIES, checks.NO_FINGERPRINT),
)
def screened_images(step: Step) -> dg.MaterializeResult:
    """Which painted patches, and which of their pixels, may be learned from.

    Publishes `fold-N/replicate-R/`: `verdicts.parquet` (accept or reject with reason), `fires.parquet` (the same of
    each fire of a label), `labels.npy`, `ignored.npy`; `gallery.html`: patches with their scores, beside those of real
    fires (`real_scores.parquet`); examples.
    """
    from firefusion_assets.steps.screening import GALLERY, SCORES, screen_config

    screened = step.build(screen_config)
    shown: dict[str, Any] = {}
    if (screened.path / GALLERY).is_file():
        shown["gallery"] = dg.MetadataValue.url(address_of(step.lineage.study.name, screened, GALLERY))
    if (screened.path / SCORES).is_file():
        shown["scores"] = picture(screened.path / SCORES)
    return step.published(screened, table_file="fold-0/replicate-0/verdicts.parquet", **shown)


@lineage_asset(
    group="2_augmentation", kinds={"lmdb"}, page="outputs.md", checks=(checks.STORE_INTACT, checks.COUNTS_MATCH)
)
def augmented_lmdb(step: Step) -> dg.MaterializeResult:
    """The accepted patches as an overlay over the base store: only what this config adds.

    Publishes `overlay.lmdb`.
    """
    from firefusion_assets.steps.augmenting import write_overlay

    overlay = step.build(write_overlay)
    intact = store_intact(step.lineage.store, overlay, contents=False)
    return step.published(overlay, [intact], **{"dagster/row_count": overlay.facts["n_added"]})
