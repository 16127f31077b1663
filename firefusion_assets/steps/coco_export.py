"""A config's training data in COCO's instance format (https://cocodataset.org/#format-data)."""

import json
from collections.abc import Callable, Container, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.core.folders import is_new
from firefusion_assets.geodata.patches import write_patch
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.lineage.assets import AssetName
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import ADDED_REAL, OVERLAY, read_replicates
from firefusion_assets.patchstore import Patches

_MADE_FROM: Final[tuple[AssetName, ...]] = ("landsat_patches", "scene_split", "synthetic_images", "augmented_lmdb")
_FIRE: Final = {"id": 1, "name": "fire", "supercategory": "fire"}


def export_coco(lineage: Lineage, key: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Write what the first network of a config trains, validates and is evaluated with: images and annotations.

    The format has no place for ignored pixels: they are written as free of fire.

    Args:
        lineage: of the study.
        key: of the config.
        folder: a new or empty one; the annotations come after all images of their part.
        progress: called after each part.

    Raises:
        MissingUpstreamError: if the config's overlay was not made.
        RequestError: if the folder isn't empty.
        OSError: if the disk has no room or fails.
    """
    made = {asset: lineage.find(asset, key) for asset in _MADE_FROM}
    if not is_new(folder):
        raise RequestError(f"{folder}: is not empty; name a new folder")
    (folder / "annotations").mkdir(parents=True)
    first = read_replicates(lineage, key)[0]
    fold = first.fold
    patches = Patches(fold.base, [made["augmented_lmdb"].path / OVERLAY], fold.number, first.number)
    painted = SyntheticPatches(made["synthetic_images"].path / first.folder).provenance
    backgrounds = dict(zip(painted["synthetic_id"], painted["background"], strict=True))
    info = {
        "description": f"Config {key} of study {lineage.study.name}, {first.folder}; ignored pixels count as no fire",
        "objects": {asset: artifact.fingerprint for asset, artifact in made.items()},
    }
    parts = {"train": [*fold.train.ids, *patches.added_ids], "val": fold.val.ids, "test": fold.evaluated.ids}
    for part, ids in parts.items():
        for patch_id in ids:
            place = fold.table.loc[backgrounds.get(patch_id, patch_id.removeprefix(ADDED_REAL))]
            file = folder / "images" / f"{patch_id}.tif"
            write_patch(file, patches.read(patch_id).bands, patches.meta.bands, place)
        content = json.dumps({"info": info, **annotated(patches, ids, backgrounds)})
        write_atomically(folder / "annotations" / f"{part}.json", partial(Path.write_text, data=content))
        progress(f"{folder}: {len(ids)} {part} patches of {first.folder}")


def annotated(patches: Patches, ids: Iterable[str], synthetic: Container[str]) -> dict[str, Any]:
    """Return images, annotations and categories as COCO has them.

    Args:
        patches: a base with its overlays.
        ids: of the patches, in the order of the images.
        synthetic: ids of painted patches.
    """
    images, annotations = [], list[dict[str, Any]]()
    for number, patch_id in enumerate(ids, start=1):
        patch = patches.read(patch_id)
        height, width = patch.label.shape
        name = f"{patch_id}.tif"
        image = {"id": number, "file_name": name, "width": width, "height": height, "synthetic": patch_id in synthetic}
        images.append(image)
        for fire in _fires(patch.label & ~patch.ignore):
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": _FIRE["id"], **fire})
    return {"images": images, "annotations": annotations, "categories": [_FIRE]}


def _fires(mask: npt.NDArray[np.bool_]) -> Iterable[dict[str, Any]]:
    """Yield what an annotation says of each fire of a mask (H, W)."""
    fires = numbered_fires(mask)
    for number, (rows, columns) in enumerate(find_objects(fires), start=1):
        fire = fires == number
        yield {
            "segmentation": {"counts": _runs(fire), "size": list(mask.shape)},
            "area": int(fire.sum()),
            "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
            "iscrowd": 0,
        }


def _runs(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of equal pixels down column by column; the first run is off the mask."""
    pixels = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(pixels, prepend=False, append=not pixels[-1]))
    runs: list[int] = np.diff(ends, prepend=0).tolist()
    return runs
