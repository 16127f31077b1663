"""The assets: each calls one step, publishes its object, and answers its checks."""

from firefusion_assets.orchestration.assets.augmentation import (
    augmentation_config,
    augmented_lmdb,
    finetuned_model,
    inpainting_masks,
    screened_images,
    synthetic_images,
)
from firefusion_assets.orchestration.assets.data import landsat_patches, scene_split
from firefusion_assets.orchestration.assets.report import augmentation_report
from firefusion_assets.orchestration.assets.segmentation import dice_metrics, trained_unet

LINEAGE = (
    landsat_patches,
    scene_split,
    augmentation_config,
    finetuned_model,
    inpainting_masks,
    synthetic_images,
    screened_images,
    augmented_lmdb,
    trained_unet,
    dice_metrics,
    augmentation_report,
)
"""All assets of a study, in the order of the lineage."""
