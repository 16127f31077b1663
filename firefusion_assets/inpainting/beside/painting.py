"""Painting smoke and scars into ground, before any engine paints the fire into it."""

from collections.abc import Sequence
from math import exp, log1p
from typing import Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.core.seeding import derive_seed, generator
from firefusion_assets.inpainting.beside.measured import Beside, Scarred, Smoke
from firefusion_assets.inpainting.beside.places import falloff, inward, joined
from firefusion_assets.inpainting.beside.veil import VEILED
from firefusion_assets.simulation.textures import Window, fractal

_EDGE: Final = 2.0
"""px over which a scar begins."""
_PATCHES: Final = 8.0
"""px; largest patches that burn more or less completely."""
_VARIED: Final = 0.2
"""Standard deviation of the logarithm of a plume's density over that of the real one that it is made like."""

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


def painted_beside(
    dn: npt.NDArray[np.uint16],
    bands: Sequence[str],
    beside: Beside,
    masks: tuple[Mask, Mask, Mask, Mask],
    seed: int,
) -> npt.NDArray[np.uint16]:
    """Return ground with a scar, and with smoke over both.

    Both are carried on into the fire's own edit mask, where they are nearer than untouched ground, so that the fire
    lies on them. On the outermost pixels nothing changes.

    Args:
        dn: uint16 DN (C, H, W).
        bands: names of the bands.
        beside: what smoke and scars are like.
        masks: label, the fire's own edit mask, plume and scar, bool (H, W) each; the last two disjoint from the second.
        seed: of all draws.
    """
    label, own, plume, scar = masks
    painted = dn.astype(np.float64)
    if beside.scar is not None and scar.any():
        painted = _charred(painted, bands, beside.scar, joined(scar, own), seed)
    if beside.smoke is not None and plume.any():
        painted = _veiled(painted, bands, beside.smoke, joined(plume, own), label, seed)
    return np.where(painted == dn, dn, np.clip(np.rint(painted), 1, np.iinfo(dn.dtype).max)).astype(dn.dtype)


def _charred(dn: Array, bands: Sequence[str], scar: Scarred, where: Mask, seed: int) -> Array:
    rng = generator(seed, "scar")
    patches = fractal(derive_seed(seed, "scar patches"), Window(0, 0, *where.shape), _PATCHES)
    hidden = np.clip(float(rng.choice(scar.hidden)) + scar.uneven * patches, 0, 1) * np.clip(
        inward(where) / _EDGE, 0, 1
    )
    return dn + hidden * (np.array([scar.char[band] for band in bands])[:, None, None] - dn)


def _veiled(dn: Array, bands: Sequence[str], smoke: Smoke, where: Mask, label: Mask, seed: int) -> Array:
    rng = generator(seed, "smoke")
    like = smoke.plumes[rng.integers(len(smoke.plumes))]
    puffs = fractal(derive_seed(seed, "puffs"), Window(0, 0, *where.shape), like.grain, hurst=0.4)
    density = like.density * exp(_VARIED * rng.standard_normal())
    spread = log1p(like.contrast**2)
    depth = density * np.exp(spread**0.5 * puffs - spread / 2) * falloff(where, label)
    veil = smoke.veil
    return np.stack(
        [veil.over(plane, band, depth) if band in VEILED else plane for band, plane in zip(bands, dn, strict=True)]
    )
