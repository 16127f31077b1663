"""A trained network as one ONNX file that takes raw DN and gives probabilities; needs the extra `onnx`."""

import logging
import warnings
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from firefusion_assets.segmentation.batches import Normalisation

INPUT: Final = "dn"
OUTPUT: Final = "probability"
_AXES: Final = {0: "batch", 2: "height", 3: "width"}
_TRACED_SHAPE: Final = (2, 37, 50)
"""Patches, height and width: unlike each other, 1 and a multiple of any stride, which would be taken for constants."""


class _Segmenter(nn.Module):
    """From DN to probabilities."""

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.normalisation = normalisation

    def forward(self, dn: Tensor) -> Tensor:
        return torch.sigmoid(self.network(self.normalisation.scale(dn)))


def export_onnx(network: nn.Module, normalisation: Normalisation, path: Path) -> None:
    """Write a network with the scaling of its input, weights included.

    The file takes `dn`, float32 DN (N, C, H, W) with the bands of the normalisation, and gives `probability`, float32
    (N, 1, H, W), of fire. N, H and W are free. Fill (DN 0 in all bands) is scaled to 0, as in training.

    Args:
        network: of `build_network`, in evaluation mode.
        normalisation: constants of its input.
        path: the file.
    """
    count, height, width = _TRACED_SHAPE
    device = next(network.parameters()).device
    example = torch.ones(count, len(normalisation.bands), height, width, device=device)
    quiet = logging.getLogger("onnxscript"), logging.getLogger("torch.onnx")
    levels = [logger.level for logger in quiet]
    try:
        for logger in quiet:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about its own parts
            program: Any = torch.onnx.export(
                _Segmenter(network, normalisation).eval(),
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={"dn": dict.fromkeys(_AXES, torch.export.Dim.DYNAMIC)},
            )
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
    model = program.model_proto
    del model.graph.value_info[:]  # shapes of inner values, by the exporter's names of the axes
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in _AXES.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    path.write_bytes(model.SerializeToString())
