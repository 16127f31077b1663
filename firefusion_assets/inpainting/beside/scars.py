"""Burn scars: where ground beside a fire looks burnt, what char looks like, and charring other ground likewise.

Char hides a share c of the ground: DN' = DN (1 - c) + c K, with K the DN of char. By what is left of it, the ground's
texture shines through.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.ndimage import label as numbered

from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.landsat.bands import REFLECTANCE_ADD, REFLECTANCE_MULT

_BESIDE: Final = 2
"""px around a label whose heat changes the infrared: nothing is read there."""
_RING: Final = 12
"""px around a label in which scar and ground lie side by side."""
_USUAL: Final = 0.75
"""Quantile of a ring's values that stands for ground: less than that may be burnt."""
_NBR_DROP: Final = 0.12
"""Drop of the normalised burn ratio (B5 - B7) / (B5 + B7) that looks burnt."""
_NIR_DROP: Final = 0.25
"""Drop of log reflectance' in B5 that looks burnt."""
_DARK: Final = 0.2
"""Drop of log reflectance' in B7, below the ring's lower quartile, that is water or shadow and no scar."""
_FEWEST: Final = 30
"""Pixels of scar, and of ground beside it, without which a scar isn't measured."""
_TEXTURE: Final = 1.5
"""px; the ground's texture is finer than this."""
_CHARRED: Final = 0.1
"""Share of a scar, the darkest in B5, that shows char alone."""

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


class Land(NamedTuple):
    """What a patch's ground shows of burning, (H, W) each.

    Attributes:
        burn_ratio: (B5 - B7) / (B5 + B7) of reflectance'; burning lowers it.
        near: log reflectance' of B5.
        shortwave: log reflectance' of B7.
        valid: pixels with data.
    """

    burn_ratio: Array
    near: Array
    shortwave: Array
    valid: Mask

    def burnt(self, label: Mask) -> Mask:
        """Return the ground that looks burnt and begins at a fire, bool (H, W)."""
        distance = distance_transform_edt(~label)
        ring = self.valid & (distance > _BESIDE) & (distance <= _RING)
        if not ring.any():
            return np.zeros_like(label)
        ratio, near = (np.quantile(plane[ring], _USUAL) for plane in (self.burn_ratio, self.near))
        looks = (self.burn_ratio < ratio - _NBR_DROP) & (self.near < near - _NIR_DROP)
        looks &= self.shortwave > np.quantile(self.shortwave[ring], 1 - _USUAL) - _DARK
        pieces = numbered(looks & self.valid & (distance > _BESIDE), np.ones((3, 3)))[0]
        touching = pieces[distance <= 2 * _BESIDE]
        return np.isin(pieces, np.unique(touching[touching > 0]))

    def amount(self, label: Mask) -> float:
        """Return how much of the ring around a fire looks burnt, weighed by how much."""
        # The rest of the patch changes nothing, and is large.
        rows, columns = (np.flatnonzero(label.any(axis=axis)) for axis in (1, 0))
        window = tuple(slice(max(0, side[0] - 2 * _RING), side[-1] + 2 * _RING + 1) for side in (rows, columns))
        here, label = Land._make(plane[window] for plane in self), label[window]
        ring = here.valid & (distance_transform_edt(~label) <= _RING)
        burnt = here.burnt(label) & ring
        if not burnt.any():
            return 0.0
        drop = np.quantile(here.burn_ratio[ring], _USUAL) - here.burn_ratio[burnt].mean()
        return float(burnt.sum() / ring.sum() * drop)


class Scar(NamedTuple):
    """What one real scar is like.

    Attributes:
        char: DN of char by band.
        hidden: share of the ground that it hides.
        uneven: standard deviation of that share from place to place.
        depth: px from the label within which 90 % of it lies, over the root of the largest fire's pixels.
    """

    char: Mapping[str, float]
    hidden: float
    uneven: float
    depth: float


def land_of(bands: Mapping[str, npt.NDArray[np.uint16]], valid: Mask) -> Land:
    """Return what bands B5 and B7, uint16 DN (H, W), show of burning."""
    near, shortwave = (
        np.maximum(REFLECTANCE_MULT * bands[band].astype(np.float64) + REFLECTANCE_ADD, 0.005) for band in ("B5", "B7")
    )
    planes = (near - shortwave) / (near + shortwave), np.log(near), np.log(shortwave)
    return Land._make([*(gaussian_filter(plane, 0.7) for plane in planes), valid])


def measure_scar(
    bands: npt.NDArray[np.uint16], names: Sequence[str], land: Land, label: Mask, veiled: Mask
) -> Scar | None:
    """Measure the scar beside a fire; None where scar or ground are too few.

    Its darkest tenth in B5 is char; what the others reflect beyond that, over what the ground beside the scar does, is
    the share of ground that shines through.

    Args:
        bands: uint16 DN (C, H, W).
        names: of the bands.
        land: of the patch.
        label: bool (H, W), where fire burns.
        veiled: bool (H, W), what smoke hides.
    """
    burnt, distance = land.burnt(label), distance_transform_edt(~label)
    if not burnt.any():
        return None
    scar = burnt & ~veiled
    near = distance_transform_edt(~burnt)
    ground = land.valid & (near > 2) & (near <= 2 * _RING) & (distance > 2 * _BESIDE) & ~veiled
    if min(scar.sum(), ground.sum()) < _FEWEST:
        return None
    b5 = bands[names.index("B5")].astype(np.float64)
    charred = scar & (b5 <= np.quantile(b5[scar], _CHARRED))
    char = {band: float(np.median(plane[charred])) for band, plane in zip(names, bands, strict=True)}
    usual = float(np.median(b5[ground]))
    hidden = np.clip((usual - gaussian_filter(b5, _TEXTURE)[scar]) / max(usual - char["B5"], 1.0), 0, 1)
    return Scar(
        char=char,
        hidden=float(np.median(hidden)),
        uneven=float(hidden.std()),
        depth=float(np.quantile(distance[burnt], 0.9) / np.sqrt(np.bincount(numbered_fires(label)[label]).max())),
    )
