"""The package of examples/flux_fill: installed as its page says, and used through the lineage."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import FluxFillPipeline

from firefusion_assets.core import seeding
from firefusion_assets.engines.stable_diffusion.stretch import Stretch
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets_tests.builders.commands import run_with_package
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.flux import save_tiny_flux_fill
from firefusion_assets_tests.builders.painting import paint_fires
from firefusion_assets_tests.builders.parts import BANDS, make_part
from firefusion_assets_tests.builders.studies import REPOSITORY, lineage_of, write_study

EXAMPLE = REPOSITORY / "examples" / "flux_fill"
CONFIG = """
generator: {engine: flux-fill, base_model: flux-fill, crop: 16, resolution: 64}
sampling: {images: 2, steps: 2, batch_size: 2, max_tries: 8}
screening: {min_changed: 0, detectors: []}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_flux_fill(tmp_path_factory.mktemp("models") / "flux-fill")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE)
    return importlib.import_module("flux_fill")


def painter(example: ModuleType, model: Path, **sampling: Any) -> Any:
    settings = example.FluxFill(engine="flux-fill", base_model=model, crop=8, resolution=64)
    stretch = Stretch(kind="linear", low=(0, 0, 0), high=(65535,) * 3, dn_max=65535)
    values = {"images": 1, "steps": 3, "prompts": ["fire"]} | sampling
    return example.FluxFillPainter(settings, [0, 1, 2], stretch, Sampling.model_validate(values))


@pytest.mark.parametrize("guidance", [None, 5.0])
def test_a_window_is_painted_as_a_plain_call_of_the_pipeline_paints_it(
    example: ModuleType, model: Path, guidance: float | None
) -> None:
    windows = np.tile(np.linspace(-0.8, 0.8, 6, dtype=np.float32).reshape(2, 3, 1, 1), (1, 1, 8, 8))
    hidden = np.zeros((2, 8, 8), bool)
    hidden[0, 2:5, 1:7] = hidden[1, 0, 0] = True
    painted = painter(example, model, guidance_scale=guidance).painted(windows, hidden, [21, 22])
    pipeline = FluxFillPipeline.from_pretrained(model)
    plain = pipeline(
        ["fire"] * 2,
        image=(torch.from_numpy(windows) / 2 + 0.5).repeat(1, 1, 8, 8),
        mask_image=torch.from_numpy(np.kron(hidden, np.ones((8, 8), np.float32)))[:, None],
        height=64,
        width=64,
        num_inference_steps=3,
        guidance_scale=30 if guidance is None else guidance,
        generator=[torch.Generator().manual_seed(seeding.derive_seed(seed, "noise")) for seed in (21, 22)],
        output_type="np",
    ).images  # (2, 64, 64, 3) within 0..1
    blocks = plain.transpose(0, 3, 1, 2).reshape(2, 3, 8, 8, 8, 8)
    uncut = ((blocks > 0) & (blocks < 1)).all(axis=(3, 5))
    assert uncut.mean() > 0.5
    np.testing.assert_allclose(painted[uncut], (blocks.mean(axis=(3, 5)) * 2 - 1)[uncut], atol=1e-4)


def test_half_precision_leaves_more_than_8_bits(example: ModuleType, model: Path) -> None:
    windows, hidden = np.zeros((8, 3, 8, 8), np.float32), np.ones((8, 8, 8), bool)
    painted = painter(example, model, mixed_precision="bf16").painted(windows, hidden, range(8))
    assert len(np.unique(painted)) > 0.95 * painted.size


def test_it_paints_into_the_composite_inside_the_edit_mask_alone_and_the_same_again(
    example: ModuleType, model: Path, tmp_path: Path
) -> None:
    part = make_part(tmp_path / "store")
    settings = example.FluxFill(engine="flux-fill", base_model=model, crop=16, resolution=64)
    fit(settings, part, tmp_path / "model")
    painted, backgrounds, edits = paint_fires(settings, tmp_path / "model", part)
    again = paint_fires(settings, tmp_path / "model", part)[0]
    np.testing.assert_array_equal(painted, again)
    changed = painted != backgrounds
    for channel, band in enumerate(BANDS):
        assert not changed[:, channel][~edits].any()
        assert changed[:, channel][edits].mean() > 0.9 if band in settings.composite else not changed[:, channel].any()


@pytest.mark.slow
def test_the_installed_package_paints_three_bands_through_the_lineage(model: Path, tmp_path: Path) -> None:
    source, package = shutil.copytree(EXAMPLE, tmp_path / "source"), tmp_path / "site"
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", package, source)
    subprocess.run([sys.executable, *map(str, install)], check=True)
    study = write_study(tmp_path / "study", configs={"flux": CONFIG})
    shutil.copytree(model, study / "flux-fill")
    done = run_with_package("run", "flux", "--to", "synthetic_images", study=study, package=package)
    assert done.returncode == 0, done.stdout + done.stderr
    store = lineage_of(study).store
    images = store.pointed("synthetic_images", "flux")
    patches = store.pointed("landsat_patches", "_")
    assert images is not None and patches is not None
    rows = pd.concat(map(pd.read_parquet, images.path.rglob("*.parquet")))
    assert len(rows) >= 2

    (study / "flux-fill" / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    told = run_with_package("check", study=study, package=package)
    assert told.returncode != 0
    printed = told.stdout + told.stderr
    assert "flux.yaml: generator.base_model: " in printed and "names FluxPipeline, not FluxFillPipeline;" in printed
