"""`python -m firefusion_assets.inpainting.similarity KEY`: how alike painted and real fires look to CLIP.

A diagnostic, and no judge of paint: the cosine is highest where a training fire was copied, and masked crops of
one mask have their outline in common whatever was painted into them. So the command counts near-copies beside it.
What paint is worth is the report's Dice.

Crops are the report's 7-6-2 composites, not DN / 65535, in which little but the hottest fires can be seen.
Embeddings and their cosine: Radford et al. 2021, "Learning transferable visual models from natural language
supervision", https://arxiv.org/abs/2103.00020.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.core.devices import compute_device
from firefusion_assets.core.pictures import Picture, composite
from firefusion_assets.ingest.base_store import BASE_STORE
from firefusion_assets.ingest.split import part_ids
from firefusion_assets.inpainting.masks import Mask, trimmed
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.verdicts import COPY_DISTANCE, Verdicts
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets.patchstore import Patches, PatchPart
from firefusion_assets.study.loading import StudyError

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


class ClipError(RuntimeError):
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


def masked_crop(bands: npt.NDArray[np.uint16], label: Mask, names: Sequence[str]) -> Picture:
    """Return a fire alone: the composite cut to a padded square around its label, black outside the label.

    Args:
        bands: uint16 DN (C, H, W).
        label: bool (H, W), not empty.
        names: of the C bands.

    Returns:
        uint8 (S, S, 3), S the label's longer side and `CROP_PADDING` on both ends.
    """
    piece, y, x = trimmed(label)
    height, width = piece.shape
    box = composite(bands, names)[y : y + height, x : x + width]
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


def study_similarity(lineage: Lineage, key: str, encode: ClipEncoder) -> pd.DataFrame:
    """Compare a config's accepted synthetic patches with the real fires of their fold's train part.

    Compared is all that was painted, as in the search for copies: a refined label would hide the rest.

    Args:
        lineage: the study's objects.
        key: the config.
        encode: the model.

    Returns:
        `clip_similarity`'s columns, behind fold, and the verdicts' nearest_distance (missing if no real fire was
        alike enough in shape to compare), one row an accepted patch of each fold.

    Raises:
        MissingUpstreamError: if the config's patches were not painted and screened.
    """
    painted, plans, verdicts = (
        lineage.find(asset, key).path for asset in ("synthetic_images", "inpainting_masks", "screened_images")
    )
    patches = Patches(lineage.find("landsat_patches", UNPARTITIONED).path / BASE_STORE)
    split = pd.read_parquet(lineage.find("scene_split", UNPARTITIONED).path / "split.parquet")
    names, size = patches.meta.bands, patches.meta.patch_size
    tables = []
    for fold in sorted(split["fold"].unique().tolist()):
        folder = f"fold-{fold}"
        synthetic = SyntheticPatches(painted / folder)
        labels = Plan.read(plans / folder, size).labels
        rows = Verdicts.read(verdicts / folder, size).rows
        accepted = rows[rows["accepted"]]
        crops = (
            (synthetic_id, masked_crop(synthetic.read(number), labels[number], names))
            for number, synthetic_id in accepted["synthetic_id"].items()
        )
        references = _real_crops(PatchPart(patches, part_ids(split, fold, "train")))
        table = clip_similarity(crops, references, encode)
        table.insert(0, "fold", fold)
        tables.append(table.assign(nearest_distance=accepted["nearest_distance"].to_numpy()))
    return pd.concat(tables, ignore_index=True)


def _encoded(crops: Iterable[NamedCrop], encode: ClipEncoder) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return ids and embeddings of crops that are made one after another and not kept."""
    ids: list[str] = []

    def pictures() -> Iterator[Picture]:
        for name, picture in crops:
            ids.append(name)
            yield picture

    embeddings = encode(pictures())
    return ids, embeddings


def _real_crops(part: PatchPart) -> Iterator[NamedCrop]:
    for patch_id in part.ids:
        patch = part.read(patch_id)
        fire = patch.label & ~patch.ignore
        if fire.any():
            yield patch_id, masked_crop(patch.bands, fire, part.meta.bands)


def _summary(table: pd.DataFrame) -> str:
    mean, largest = table["mean_cosine"], table["max_cosine"]
    copies, unlike = (table["nearest_distance"] < COPY_DISTANCE).sum(), table["nearest_distance"].isna().sum()
    return (
        f"{len(table)} accepted synthetic patches, each against the real fires of its fold's train part\n"
        f"mean cosine:    {mean.mean():.3f} ± {mean.std(ddof=0):.3f}\n"
        f"largest cosine: {largest.mean():.3f} ± {largest.std(ddof=0):.3f}\n"
        "(± is the standard deviation over patches.) A high figure is no proof of good paint: copies of training "
        f"fires score highest.\nNear-copies of a training fire: {copies} of {len(table)} (contrast within "
        f"{COPY_DISTANCE} standard deviations); {unlike} had no real fire of like shape to be compared with."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table of a config of the study that FIREFUSION_STUDY names, and print what it comes to."""
    parser = argparse.ArgumentParser(
        prog="python -m firefusion_assets.inpainting.similarity",
        description="CLIP cosine between a config's accepted synthetic fires and the real fires of the train part.",
    )
    parser.add_argument("key", help="key of the augmentation config")
    parser.add_argument("--model", default="openai/clip-vit-base-patch32", help="hub id or local folder (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("similarity.csv"), help="the table (%(default)s)")
    options = parser.parse_args(arguments)
    if not options.output.parent.is_dir():
        parser.error(f"--output {options.output}: there is no such folder; make it first")
    try:
        lineage = open_lineage()
        # What is missing in the study is told before a model is downloaded.
        lineage.config(options.key)
        lineage.find("screened_images", options.key)
        table = study_similarity(lineage, options.key, ClipEncoder(options.model))
    except (ClipError, MissingUpstreamError, StudyError) as error:
        raise SystemExit(str(error)) from None
    if table.empty:
        raise SystemExit(f"{options.key} has no accepted synthetic patch; there is nothing to compare")
    table.to_csv(options.output, index=False)
    print(f"{_summary(table)}\nTable: {options.output}")


if __name__ == "__main__":
    main()
