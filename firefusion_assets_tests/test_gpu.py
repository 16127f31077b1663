"""The same lineage on CUDA: run where there is a GPU with `pytest -m gpu`."""

from pathlib import Path

import pytest
import torch

from firefusion_assets.artifacts.lineage import Lineage
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets_tests.conftest import TINY_CONFIGS, LoadDefinitions, materialize, write_study

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_the_lineage_runs_on_the_gpu_and_reports_its_use(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study")
    defs = load_definitions(study)
    lineage = Lineage(study, ArtifactStore(study / "artifacts"))
    for key in TINY_CONFIGS:
        assert materialize(defs, key).success
        assert lineage.find("trained_unet", key).cost["gpu_seconds"] > 0
    assert lineage.find("finetuned_model", "native").cost["peak_gpu_memory_gib"] > 0
    assert lineage.find("synthetic_images", "native").facts["n_values_changed_outside"] == 0
