"""A network as ONNX gives PyTorch's probabilities, from raw DN, for any number and size of patches."""

from pathlib import Path

import numpy as np
import pytest
import torch

from firefusion_assets.segmentation.batches import Normalisation
from firefusion_assets.segmentation.networks import build_network
from firefusion_assets.segmentation.onnx_export import export_onnx
from firefusion_assets.study.models import Training

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")
pytestmark = pytest.mark.slow

BANDS = ("B7", "B6", "B2")
CONSTANTS = Normalisation(bands=BANDS, mean=(9000.0, 8000.0, 7000.0), std=(2500.0, 900.0, 700.0))


@pytest.mark.parametrize("architecture", ["unet", "smp-unet"])
def test_onnx_equals_pytorch(tmp_path: Path, architecture: str) -> None:
    if architecture.startswith("smp"):
        pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(1)
    recipe = Training.model_validate({"bands": list(BANDS), "filters": 4, "architecture": architecture})
    network = build_network(recipe)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    network.eval()
    export_onnx(network, CONSTANTS, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    rng = np.random.default_rng(2)
    for shape in ((1, 3, 64, 64), (3, 3, 50, 37), (2, 3, 33, 96)):
        dn = rng.integers(5000, 20000, shape).astype(np.float32)
        dn[:, :, :5, :7] = 0  # fill
        dn[:, :, 10:14, 10:14] = 65535  # saturated
        dn[:, 0, 20:22] = 0  # of one band alone, which is no fill
        (found,) = session.run(["probability"], {"dn": dn})
        scaled = (dn - np.reshape(CONSTANTS.mean, (1, 3, 1, 1))) / np.reshape(CONSTANTS.std, (1, 3, 1, 1))
        scaled = np.where((dn > 0).any(1, keepdims=True), scaled, 0).astype(np.float32)
        with torch.no_grad():
            expected = torch.sigmoid(network(torch.from_numpy(scaled))).numpy()
        assert found.shape == (shape[0], 1, *shape[2:])
        np.testing.assert_allclose(found, expected, atol=1e-4)
