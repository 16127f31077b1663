"""The same lineage on CUDA: run where there is a GPU with `pytest -m gpu`."""

from pathlib import Path

import pytest
import torch

from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline
from firefusion_assets_tests.builders.studies import TINY_CONFIGS, LoadDefinitions, lineage_of, materialize, write_study

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_the_lineage_runs_on_the_gpu_and_reports_its_use(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study")
    defs = load_definitions(study)
    lineage = lineage_of(study)
    for key in TINY_CONFIGS:
        assert materialize(defs, key).success
        assert lineage.find("trained_unet", key).cost["gpu_seconds"] > 0
    assert lineage.find("finetuned_model", "native").cost["peak_gpu_memory_gib"] > 0
    assert lineage.find("synthetic_images", "native").facts["n_values_changed_outside"] == 0


PRIOR = "prior_preservation: {class_prompt: land, num_class_images: 4}"


@pytest.mark.parametrize(
    ("method", "precision"),
    [
        (f"method: dreambooth, use_ema: true, train_text_encoder: true, {PRIOR}", "bf16"),
        ("method: dreambooth, gradient_checkpointing: true", "fp16"),
        ("method: lora, snr_gamma: 5", "bf16"),
        ("method: none", "fp16"),
    ],
)
def test_stable_diffusion_trains_and_paints_on_the_gpu(
    method: str, precision: str, tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    config = f"""
generator: {{engine: stable-diffusion, base_model: ./model, crop: 16, resolution: 64, max_train_steps: 4,
  validation_steps: 2, checkpointing_steps: 2, mask_variants: 2, mixed_precision: {precision}, {method}}}
sampling: {{images: 6, batch_size: 4, steps: 3, scheduler: unipc, mixed_precision: {precision}, channels_last: true,
  attention_slicing: true}}
screening: {{detectors: [], min_changed: 0}}
"""
    study = write_study(tmp_path / "study", configs={"sd": config})
    save_tiny_pipeline(study / "model")
    assert materialize(load_definitions(study), "sd").success
    lineage = lineage_of(study)
    assert lineage.find("synthetic_images", "sd").facts["n_values_changed_outside"] == 0
