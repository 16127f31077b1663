"""A trained network on disk (`network.json`, `network.safetensors`), and predicting with it.

Files and use of a trained network; `training` makes it, `evaluation` scores it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.devices import compute_device
from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.segmentation.batches import Normalisation
from firefusion_assets.segmentation.networks import build_network
from firefusion_assets.study.models import Training

RECORD_FILE = "network.json"
WEIGHTS_FILE = "network.safetensors"
_PREDICTED_AT_ONCE = 16


class NetworkRecord(BaseModel):
    """What belongs to a network's weights.

    Attributes:
        training: the study's training settings; name the architecture.
        normalisation: bands and constants that its input is scaled with.
        patch_size: height and width of the patches that it was trained on, in px.
        threshold: probability from which a pixel counted as fire in validation.
        fold: the fold whose train part it was trained on.
        replicate: the replicate whose painted set it was trained on.
        seed: the training's seed.
        step: optimizer steps after which these weights were taken.
        val_dice_micro: their Dice on the val part; None where that holds no fire.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: Training
    normalisation: Normalisation
    patch_size: int
    threshold: float
    fold: int
    replicate: int
    seed: int
    step: int
    val_dice_micro: float | None


def save_network(folder: Path, weights: Mapping[str, Tensor], record: NetworkRecord) -> None:
    """Write weights (a state dict, buffers included), then the record, which so marks the end."""
    write_atomically(folder / WEIGHTS_FILE, lambda path: save_file(dict(weights), path))
    write_atomically(folder / RECORD_FILE, lambda path: path.write_text(record.model_dump_json(indent=2) + "\n"))


def load_network(folder: Path) -> tuple[nn.Module, NetworkRecord]:
    """Return a trained network, ready to predict on the device that is there, and its record.

    Raises:
        FileNotFoundError: if the folder holds no finished training.
    """
    if not (folder / RECORD_FILE).is_file():
        raise FileNotFoundError(f"{folder} holds no {RECORD_FILE}: the training there isn't finished")
    record = NetworkRecord.model_validate_json((folder / RECORD_FILE).read_text())
    network = build_network(record.training.model_copy(update={"encoder_weights": None}))  # no download here
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return network.to(compute_device()).eval(), record


def predict(
    network: nn.Module, normalisation: Normalisation, part: PatchPart, ids: Sequence[str], threshold: float
) -> Iterator[tuple[str, Patch, npt.NDArray[np.bool_]]]:
    """Give each patch with the pixels whose probability of fire is at least the threshold, bool (H, W).

    Args:
        network: gives logits; must be in evaluation mode.
        normalisation: of the network's input.
        part: the part to read from.
        ids: its patches, in the order wanted.
        threshold: probability in (0, 1).

    Raises:
        LeakError: if an id isn't in the part.
    """
    rows = part.meta.band_rows(normalisation.bands)
    device = next(network.parameters()).device
    for start in range(0, len(ids), _PREDICTED_AT_ONCE):
        chunk = ids[start : start + _PREDICTED_AT_ONCE]
        patches = [part.read(patch_id) for patch_id in chunk]
        dn = torch.from_numpy(np.stack([patch.bands[rows] for patch in patches])).to(device)
        with torch.inference_mode():
            fire = torch.sigmoid(network(normalisation.scale(dn))[:, 0]) >= threshold
        yield from zip(chunk, patches, fire.cpu().numpy(), strict=True)
