"""Engine `copy-paste`: a real fire of the train part is transplanted into another patch.

The model is a library of donors. A donor is one fire (fragments a few px apart count as one) with a ring of
ground around it, in all bands. The best-fitting donor's excess over its own surroundings is added to the
background: a fire adds its radiance to that of the ground (Dozier 1981, Remote Sensing of Environment 11,
221-229), so that is the radiometric match. Nothing is trained here.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.ndimage import binary_dilation, find_objects

from firefusion_assets.core import seeding
from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.core.orientation import ORIENTATIONS, turned
from firefusion_assets.engines.blending import feather
from firefusion_assets.engines.contract import NoFireError, compose, fire_patches
from firefusion_assets.patchstore import Patch, PatchPart

_RING: Final = 6
"""px of ground kept around a donor."""
_JOIN: Final = 4
"""px between fragments up to which they are one fire."""
_CANDIDATES: Final = 64
"""Donors of about the right size whose shape is compared with the label's."""
_NEAR_TIE: Final = 0.05
"""Placements whose intersection over union is this close to the best are drawn from."""

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice]


class Donor(NamedTuple):
    """A fire with the ground around it.

    Attributes:
        bands: uint16 DN (C, h, w).
        fire: bool (h, w), the fire's pixels.
        ground: bool (h, w), valid pixels without fire.
    """

    bands: npt.NDArray[np.uint16]
    fire: Mask
    ground: Mask


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


def donors(patch: Patch) -> Iterator[Donor]:
    """Cut each fire of a patch out, with its ring; a fire without any ground around it is left out."""
    valid = ~patch.ignore
    for fire in fires(patch.label & valid):
        box = _box(binary_dilation(fire, np.ones((3, 3), bool), iterations=_RING))
        ground = (valid & ~patch.label)[box]
        if ground.any():
            yield Donor(patch.bands[:, *box], fire[box], ground)


def fires(mask: Mask) -> Iterator[Mask]:
    """Yield each fire of a mask (H, W) as a mask of its own; fragments of one front are one fire."""
    numbers = numbered_fires(mask, joined_within=_JOIN)
    for number in range(1, numbers.max(initial=0) + 1):
        yield numbers == number


class CopyPastePainter:
    """Paints from a library of donors.

    Args:
        folder: what `fit` wrote.
    """

    def __init__(self, folder: Path) -> None:
        library = json.loads((folder / "library.json").read_text())
        self._dn_max: int = library["dn_max"]
        self._places: list[tuple[Any, str]] = []
        self._shapes: list[Mask] = []
        for number in range(library["files"]):
            file = safe_open(folder / f"donors-{number:06d}.safetensors", framework="numpy")
            for index in range(len(file.keys()) // len(Donor._fields)):
                fire = file.get_tensor(f"{index}.fire")
                self._places.append((file, str(index)))
                self._shapes.append(fire[_box(fire)])
        self._sizes = np.array([shape.sum() for shape in self._shapes])

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: Mask,
        edits: Mask,
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch; see `engines.contract.Painter`.

        Label pixels on which the donor holds no fire stay as they are.
        """
        painted = backgrounds.astype(np.float32)
        for canvas, label, edit, seed in zip(painted, labels, edits, seeds, strict=True):
            rng = seeding.generator(int(seed), "copy-paste")
            opacity = feather(label, edit)
            for fire in fires(label):
                number, turn = self._choose(fire[_box(fire)], rng)
                self._transplant(self._donor(number, turn), canvas, label, fire, opacity)
        return compose(painted, backgrounds, edits, self._dn_max)

    def _choose(self, shape: Mask, rng: np.random.Generator) -> tuple[int, int]:
        """Return number and orientation of a donor that fits a fire's shape, drawn from the best."""
        size = shape.sum()
        likeness = np.minimum(self._sizes, size) / np.maximum(self._sizes, size)
        shuffled = rng.permutation(len(self._sizes))
        candidates = shuffled[np.argsort(-likeness[shuffled], kind="stable")][:_CANDIDATES]
        overlap = np.array(
            [[_overlap(turned(self._shapes[i], turn), shape) for turn in range(ORIENTATIONS)] for i in candidates]
        )
        best = np.argwhere(overlap >= overlap.max() - _NEAR_TIE)
        candidate, turn = best[rng.integers(len(best))]
        return int(candidates[candidate]), int(turn)

    def _donor(self, number: int, turn: int) -> Donor:
        file, index = self._places[number]
        return Donor(*(turned(file.get_tensor(f"{index}.{name}"), turn) for name in Donor._fields))

    def _transplant(
        self,
        donor: Donor,
        canvas: npt.NDArray[np.float32],
        label: Mask,
        fire: Mask,
        opacity: npt.NDArray[np.float32],
    ) -> None:
        """Add the donor's excess to the canvas: fire on the label's fire, surroundings outside the label."""
        ours, theirs = _aligned(fire, donor.fire)
        bands = donor.bands[:, *theirs].astype(np.float32)
        surroundings = np.median(donor.bands[:, donor.ground], axis=1).astype(np.float32)
        on_fire = fire[ours] & donor.fire[theirs]
        used = on_fire | (donor.ground[theirs] & ~label[ours])
        excess = (bands - surroundings[:, None, None]) * opacity[ours] * used
        saturated = on_fire & (bands == self._dn_max)
        canvas[:, *ours] = np.where(saturated, self._dn_max, canvas[:, *ours] + excess)


def _box(mask: Mask) -> Box:
    """Return the bounding box of a mask that isn't empty."""
    box: Box = find_objects(mask.astype(np.uint8))[0]
    return box


def _overlap(a: Mask, b: Mask) -> float:
    """Return the intersection over union of two masks, laid over each other by their centres."""
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    inner_a, inner_b = (
        mask[
            (top := (mask.shape[0] - height) // 2) : top + height,
            (left := (mask.shape[1] - width) // 2) : left + width,
        ]
        for mask in (a, b)
    )
    both = np.count_nonzero(inner_a & inner_b)
    return both / (np.count_nonzero(a) + np.count_nonzero(b) - both)


def _aligned(mask: Mask, donor: Mask) -> tuple[Box, Box]:
    """Return what meets of a patch and a donor when the boxes of their fires are centred on each other."""
    ours, theirs = [], []
    for length, donor_length, box, donor_box in zip(mask.shape, donor.shape, _box(mask), _box(donor), strict=True):
        extent, donor_extent = box.stop - box.start, donor_box.stop - donor_box.start
        # Rounded towards 0, as `_overlap` does, whichever of the two is larger.
        origin = box.start + int((extent - donor_extent) / 2) - donor_box.start
        start, stop = max(origin, 0), min(origin + donor_length, length)
        ours.append(slice(start, stop))
        theirs.append(slice(start - origin, stop - origin))
    return (ours[0], ours[1]), (theirs[0], theirs[1])
