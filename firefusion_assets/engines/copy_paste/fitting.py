"""Fitting engine `copy-paste`: the model is a library of donors. Nothing is trained."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from firefusion_assets.engines.contract import NoFireError, fire_patches
from firefusion_assets.engines.copy_paste.donors import Donor, donors
from firefusion_assets.patchstore import PatchPart


def fit(train: PatchPart, work: Path, progress: Callable[[str], None]) -> dict[str, float]:
    """Write the donors of each fire patch of the train part to a file of its own; return how many there are.

    Raises:
        NoFireError: if there is no fire, or none with ground around it.
    """
    patch_ids = fire_patches(train)
    n_donors = 0
    for number, patch_id in enumerate(patch_ids):
        arrays = {
            f"{index}.{name}": np.ascontiguousarray(array)
            for index, donor in enumerate(donors(train.read(patch_id)))
            for name, array in donor._asdict().items()
        }
        save_file(arrays, work / f"donors-{number:06d}.safetensors", metadata={"patch_id": patch_id})
        n_donors += len(arrays) // len(Donor._fields)
    if n_donors == 0:
        raise NoFireError("every fire of the train part fills its patch; no ground is left to compare with")
    progress(f"{n_donors} donors from {len(patch_ids)} patches")
    library = {"engine": "copy-paste", "n": n_donors, "files": len(patch_ids), "dn_max": train.meta.dn_max}
    (work / "library.json").write_text(json.dumps(library) + "\n")
    return {"n_fire_patches": len(patch_ids), "n_donors": n_donors}
