"""What a plan says of smoke and scars: where they lie beside each fire, and what they are like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.beside.measured import Beside
from firefusion_assets.inpainting.beside.places import plume, scar
from firefusion_assets.inpainting.masks import load_masks

BESIDE: Final = "beside.json"
"""What the train part shows beside its fires; see `Beside`."""
PLANES: Final = ("plumes", "scars")
_CLEAR: Final = 2
"""px around clouds, snow and water, whose edges are thin: a mask that ended there would have a seam of its own."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PlannedBeside:
    """Smoke and scars of the rows of a plan.

    Attributes:
        measured: what they are like.
        plumes: bool (N, H, W), where smoke may lie.
        scars: bool (N, H, W), where ground may be burnt.
    """

    measured: Beside
    plumes: Mask
    scars: Mask

    @classmethod
    def read(cls, folder: Path, patch_size: int) -> "PlannedBeside | None":
        """Read those of a plan's folder; None if its config asks for none."""
        if not (folder / BESIDE).is_file():
            return None
        measured = Beside.model_validate_json((folder / BESIDE).read_text())
        return cls(measured, *(load_masks(folder / f"{name}.npy", patch_size) for name in PLANES))

    @classmethod
    def joined(cls, several: Sequence["PlannedBeside"]) -> "PlannedBeside":
        """Return those of several plans of one fold in one."""
        plumes, scars = (np.concatenate([getattr(one, name) for one in several]) for name in PLANES)
        return cls(several[0].measured, plumes, scars)


def beside_fire(
    label: Mask, own: Mask, avoided: Mask, seen: Mapping[str, Mask], beside: Beside, rng: np.random.Generator
) -> tuple[Mask, Mask]:
    """Draw plume and scar of a fire, bool (H, W) each; empty where it shall have none.

    No smoke lies on cloud, no scar on cloud, snow or water.

    Args:
        label: bool (H, W), where fire shall be.
        own: bool (H, W), its edit mask.
        avoided: bool (H, W), where nothing may be painted.
        seen: where the ground is cloud, snow and water.
        beside: what the train part shows.
        rng: where the draws come from.
    """
    pixels, wind = int(label.sum()), float(rng.uniform(0, 2 * np.pi))
    chances, seeds = rng.random(2), rng.integers(2**31, size=2)
    avoided = avoided | own | dilated(seen["cloud"], _CLEAR)
    smoke = burnt = np.zeros_like(label)
    if beside.smoke is not None and chances[0] < beside.smoke.found.share(pixels):
        like = beside.smoke.plumes[rng.integers(len(beside.smoke.plumes))]
        smoke = plume(label, wind, like.reach, like.breadth * like.reach, int(seeds[0])) & ~avoided
    if beside.scar is not None and chances[1] < beside.scar.found.share(pixels):
        depth = float(rng.choice(beside.scar.depths))
        burnt = scar(label, wind, depth, int(seeds[1])) & ~(avoided | dilated(seen["snow"] | seen["water"], _CLEAR))
    return smoke, burnt
