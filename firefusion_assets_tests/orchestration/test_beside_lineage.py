"""Smoke and scars through the lineage: measured with the plan, painted into the ground, said in words."""

from pathlib import Path

import numpy as np
import pytest

from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.lineage.folds import read_replicates
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow

STUDY = """
name: tiny
dataset: {source: simulated, scenes: 10, patches_per_scene: 9, patch_size: 64, fire_share: 0.3, seed: 187}
training: {bands: [B7, B6, B2], filters: 2, steps: 6, batch_size: 4, validate_every: 2}
replicates: {count: 1}
"""


def test_fires_get_what_the_train_part_shows(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    configs = TINY_CONFIGS | {"smoky": "extends: native\nmasks: {beside: [smoke, scar]}\nsampling: {images: 12}"}
    study = write_study(tmp_path / "tiny", STUDY, configs)
    defs = load_definitions(study)
    assert materialize(defs, "smoky", to="screened_images").success
    lineage = lineage_of(study)
    assert lineage.fingerprint("finetuned_model", "smoky") == lineage.fingerprint("finetuned_model", "native")
    assert lineage.fingerprint("inpainting_masks", "smoky") != lineage.fingerprint("inpainting_masks", "native")
    masks, painted = (lineage.find(asset, "smoky") for asset in ("inpainting_masks", "synthetic_images"))
    (replicate,) = read_replicates(lineage, "smoky")
    plan = Plan.read(masks.path / replicate.folder, 64)
    assert plan.beside is not None
    shown = plan.beside.measured
    assert masks.facts["beside"] == f"fold 0: {'; '.join(shown.words)}"
    assert shown.smoke is not None and plan.beside.plumes.any()
    assert painted.facts["n_values_changed_outside"] == 0
    synthetic, train = SyntheticPatches(painted.path / replicate.folder), replicate.fold.train
    veiled = []
    for number, row in enumerate(synthetic.provenance.itertuples()):
        where = plan.beside.plumes[number]
        before, after = train.read(row.background).bands.astype(float), synthetic.read(number).astype(float)
        bands = train.meta.bands
        if where.any() and not plan.beside.scars[number].any():
            assert (before == after)[[bands.index("B6"), bands.index("B7")]][:, where].all()
            veiled.append(np.abs(after - before)[bands.index("B2"), where].max())
    assert max(veiled) > 300  # DN
