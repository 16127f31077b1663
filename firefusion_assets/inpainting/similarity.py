"""How alike painted and real fires look to CLIP.

A diagnostic, and no judge of paint: the cosine is highest where a training fire was copied, and masked crops of
one mask have their outline in common whatever was painted into them. So the command counts near-copies as well.
What paint is worth is the report's Dice.

Crops are the report's 7-6-2 composites, not DN / 65535, in which little but the hottest fires can be seen.
Embeddings and their cosine: Radford et al. 2021, "Learning transferable visual models from natural language
supervision", https://arxiv.org/abs/2103.00020.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel

from firefusion_assets.core.cropping import trimmed
from firefusion_assets.core.devices import compute_device
from firefusion_assets.core.errors import UserError
from firefusion_assets.core.pictures import Composite, Picture
from firefusion_assets.inpainting.masks import Mask

CROP_PADDING: Final = 4
"""px of black around a fire's bounding box."""

_BATCH = 64
_REMEDY = (
    "Set --model to a hub id, which is downloaded once and needs the network, or to a local folder with config.json, "
    "model.safetensors and preprocessor_config.json, as save_pretrained of transformers' CLIPModel and "
    "CLIPImageProcessor writes them."
)

NamedCrop = tuple[str, Picture]
"""A patch id and the patch's masked crop."""


class ClipError(UserError, RuntimeError):
    """A CLIP model that can't be loaded. The message says what to do."""


class ClipEncoder:
    """Turns pictures into CLIP image embeddings, on the GPU where there is one.

    Args:
        model: hub id or local folder; weights are read from safetensors only.

    Raises:
        ClipError: if model or image processor are missing, or weights of it.
    """

    def __init__(self, model: str) -> None:
        try:
            self._processor = CLIPImageProcessor.from_pretrained(model)
            loading: Any = CLIPModel.from_pretrained(model, use_safetensors=True, output_loading_info=True)
        except OSError as error:
            raise ClipError(f"{model}: no CLIP model can be read there. {_REMEDY} ({error})") from error
        clip, info = loading
        if info["missing_keys"]:
            # transformers goes on with random weights.
            raise ClipError(f"{model}: is no CLIP model, {len(info['missing_keys'])} weights are missing. {_REMEDY}")
        self._device = compute_device()
        self._vision = clip.vision_model.to(self._device).eval()
        self._projection = clip.visual_projection.to(self._device)

    @torch.no_grad()
    def __call__(self, pictures: Iterable[Picture]) -> npt.NDArray[np.float32]:
        """Return the embeddings of pictures of any sizes, in batches.

        Args:
            pictures: uint8 (H, W, 3), square, since the processor cuts away what sticks out of a square.

        Returns:
            float32 (N, D), each of length 1.
        """
        embeddings = [torch.empty(0, self._projection.out_features)]
        remaining = iter(pictures)
        while batch := [Image.fromarray(picture) for picture in islice(remaining, _BATCH)]:
            pixels = self._processor(batch, return_tensors="pt")["pixel_values"].to(self._device)
            embedded = self._projection(self._vision(pixel_values=pixels).pooler_output)
            embeddings.append(torch.nn.functional.normalize(embedded.float(), dim=-1).cpu())
        return torch.cat(embeddings).numpy()


def masked_crop(bands: npt.NDArray[np.uint16], label: Mask, composite: Composite) -> Picture:
    """Return a fire alone: the composite cut to a padded square around its label, black outside the label.

    Args:
        bands: uint16 DN (C, H, W).
        label: bool (H, W), not empty.
        composite: shows the C bands.

    Returns:
        uint8 (S, S, 3), S the label's longer side and `CROP_PADDING` on both ends.
    """
    piece, y, x = trimmed(label)
    height, width = piece.shape
    box = composite(bands)[y : y + height, x : x + width]
    side = max(height, width) + 2 * CROP_PADDING
    top, left = (side - height) // 2, (side - width) // 2
    crop = np.zeros((side, side, 3), np.uint8)
    crop[top : top + height, left : left + width][piece] = box[piece]
    return crop


def clip_similarity(
    synthetic: Iterable[NamedCrop], references: Iterable[NamedCrop], encode: ClipEncoder
) -> pd.DataFrame:
    """Compare every synthetic crop with every reference by the cosine of their CLIP embeddings.

    Args:
        synthetic: ids and masked crops of synthetic patches.
        references: ids and masked crops of real fires, at least one.
        encode: the model.

    Returns:
        One row a synthetic crop, in order: synthetic_id, mean_cosine over the references, max_cosine, and
        max_patch, the reference that it belongs to (the first of equals).
    """
    reference_ids, real = _encoded(references, encode)
    synthetic_ids, painted = _encoded(synthetic, encode)
    cosines = painted @ real.T
    return pd.DataFrame(
        {
            "synthetic_id": synthetic_ids,
            "mean_cosine": cosines.mean(axis=1),
            "max_cosine": cosines.max(axis=1),
            "max_patch": [reference_ids[nearest] for nearest in cosines.argmax(axis=1)],
        }
    )


def _encoded(crops: Iterable[NamedCrop], encode: ClipEncoder) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return ids and embeddings of crops that are made one after another and not kept."""
    ids: list[str] = []

    def pictures() -> Iterator[Picture]:
        for name, picture in crops:
            ids.append(name)
            yield picture

    embeddings = encode(pictures())
    return ids, embeddings
