"""Real products and patches, where this machine has some."""

import os
from pathlib import Path

import pytest

from firefusion_assets_tests.builders.studies import REPOSITORY

REAL_DATA = Path(os.environ.get("FIREFUSION_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
REAL_PATCHES = REAL_DATA / "activefire-mini"
REAL_PRODUCT = REAL_DATA / "landsat-product"

needs_patches = pytest.mark.skipif(
    not REAL_PATCHES.is_dir(), reason="no real patches; name the folder of data in FIREFUSION_REAL_DATA"
)
needs_product = pytest.mark.skipif(
    not REAL_PRODUCT.is_dir(), reason="no real product; name the folder of data in FIREFUSION_REAL_DATA"
)

REAL_STUDY = f"""
name: mini
dataset:
  source: activefire
  images: {REAL_PATCHES}/landsat_patches
  masks: {REAL_PATCHES}/masks_patches
  mask_label: Weak
  BANDS
training: {{bands: [B7, B6, B2], filters: 2, steps: 4, batch_size: 4, validate_every: 2}}
replicates: {{count: 1}}
"""
"""A study of the real patches; `BANDS` is to be replaced by which bands are kept."""
