"""Nothing that is fitted sees a val or test scene: a marker planted there reaches no model, mask, constant or plan."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firefusion_assets.patchstore import Patches
from firefusion_assets_tests.builders.rasters import SCENES, write_raster
from firefusion_assets_tests.builders.studies import TINY_CONFIGS, LoadDefinitions, lineage_of, materialize, write_study

pytestmark = pytest.mark.slow

STUDY = """
name: marked
dataset: {source: activefire, images: images, masks: masks, patch_size: 32, sun_elevation: 50}
training: {bands: [B7, B6, B2], filters: 2, steps: 4, batch_size: 4, validate_every: 2}
replicates: {count: 1}
"""
MARKER = 43_210


def write_patches(folder: Path, marked: set[str]) -> None:
    """Each scene's first two patches burn; in marked scenes every band is the marker, and fires lie elsewhere."""
    for place, scene in enumerate(SCENES):
        rng = np.random.default_rng(place)
        for number in (1, 2, 3):
            bands = rng.integers(6000, 12000, (10, 32, 32)).astype(np.uint16)
            bands[4] += 6000  # green ground
            bands[7] = 5050  # and no cirrus: all patches can be backgrounds
            bands[1] -= 2000
            mask = np.zeros((1, 32, 32), np.uint8)
            y, x = rng.integers(4, 20, 2)
            mask[0, y : y + 4, x : x + 5] = 1
            bands[5:7, mask[0] == 1] = rng.integers(25000, 60000, (2, 20))
            name = f"{scene}_p{number:05d}"
            if name in marked:
                bands[:] = MARKER
                mask = mask[:, ::-1, ::-1]
            write_raster(folder / "images" / f"{name}.tif", bands)
            if number < 3:
                write_raster(folder / "masks" / f"{scene}_v1_p{number:05d}.tif", np.ascontiguousarray(mask))


def fitted_content(study: Path, key: str) -> dict[str, str]:
    """Hash everything of a config that is fitted or painted, and the networks' normalisation."""
    lineage = lineage_of(study)
    hashes = {}
    for asset in ("finetuned_model", "inpainting_masks", "synthetic_images", "screened_images"):
        folder = lineage.find(asset, key).path
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".parquet":
                table = pd.read_parquet(path).drop(columns="model_fingerprint", errors="ignore")
                content = table.to_json().encode()
            elif path.suffix == ".npz":
                with np.load(path) as arrays:
                    content = b"".join(arrays[name].tobytes() for name in sorted(arrays))
            elif path.is_file() and path.name not in ("manifest.json", "sheet.png"):
                content = path.read_bytes()
            else:
                continue
            hashes[f"{asset}/{path.relative_to(folder)}"] = hashlib.sha256(content).hexdigest()
    record = lineage.find("trained_unet", key).path / "fold-0" / "replicate-0" / "network.json"
    hashes["normalisation"] = str(pd.read_json(record, typ="series")["normalisation"])
    return hashes


@pytest.mark.parametrize("scarcity", ["", "split: {train_fire_patches: 3}\n"], ids=["all", "scarce"])
def test_a_marker_outside_the_train_part_changes_nothing_that_is_fitted(
    tmp_path: Path, load_definitions: LoadDefinitions, scarcity: str
) -> None:
    """With scarcity the marker is planted in what is held back too."""
    plain, marked = (write_study(tmp_path / name, STUDY + scarcity) for name in ("plain", "marked"))
    write_patches(plain, set())
    defs = load_definitions(plain)
    for key in TINY_CONFIGS:
        assert materialize(defs, key, to="trained_unet").success
    lineage = lineage_of(plain)
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    outside = set(split.loc[split["part"] != "train", "patch_id"])
    assert 0 < len(outside) < len(split)
    assert ("held back" in set(split["part"])) == bool(scarcity)
    write_patches(marked, outside)
    defs = load_definitions(marked)
    for key in TINY_CONFIGS:
        assert materialize(defs, key, to="trained_unet").success
        assert fitted_content(plain, key) == fitted_content(marked, key), key
    # The marker is really in the store that the marked study read.
    base = lineage_of(marked).find("landsat_patches", "_").path / "base.lmdb"
    patches = Patches(base)
    assert all((patches.read(patch_id).bands == MARKER).all() for patch_id in outside)


def test_the_same_check_sees_a_change_in_a_train_scene(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    plain, changed = (write_study(tmp_path / name, STUDY) for name in ("plain", "changed"))
    write_patches(plain, set())
    assert materialize(load_definitions(plain), "copy-paste", to="trained_unet").success
    lineage = lineage_of(plain)
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    write_patches(changed, set(split.loc[split["part"] == "train", "patch_id"][:1]))
    assert materialize(load_definitions(changed), "copy-paste", to="trained_unet").success
    before, after = fitted_content(plain, "copy-paste"), fitted_content(changed, "copy-paste")
    assert before != after
    assert before["normalisation"] != after["normalisation"]
