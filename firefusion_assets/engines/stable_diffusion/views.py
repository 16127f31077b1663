"""What the model learns from: views of fire patches of the train part, each with the mask that hides its fire, or one
side of it.

A view follows from the seed and its number alone. Encoding views is not done here.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firefusion_assets.core import seeding
from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.orientation import ORIENTATIONS, turned
from firefusion_assets.engines.contract import fire_patches
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.windows import sometimes_one_side, window_on_fire
from firefusion_assets.patchstore import PatchPart

_MASK_SIDE: Final = (0.2, 0.7)
"""Height and width of a random mask, as shares of the window's."""


class View(NamedTuple):
    """A window of a patch.

    Attributes:
        dn: uint16 DN (3, S, S), the composite's bands.
        mask: bool (S, S), what is hidden from the model and has to be painted.
    """

    dn: npt.NDArray[np.uint16]
    mask: npt.NDArray[np.bool_]


class FireViews:
    """A fixed number of views of each fire patch of the train part.

    Args:
        train: the patches to cut from.
        generator: window, masks, number of views and seed.

    Raises:
        NoFireError: if no patch holds a fire.
    """

    def __init__(self, train: PatchPart, generator: StableDiffusionGenerator) -> None:
        self.fire_ids = fire_patches(train)
        self._train, self._generator = train, generator
        self._rows = [train.meta.bands.index(band) for band in generator.composite]
        self._size = generator.window(train.meta.patch_size)

    def __len__(self) -> int:
        return len(self.fire_ids) * self._generator.mask_variants

    def __getitem__(self, number: int) -> View:
        """Return one view; consecutive numbers go through the patches."""
        variant, fire = divmod(number, len(self.fire_ids))
        rng = seeding.generator(self._generator.seed, "view", number)
        patch = self._train.read(self.fire_ids[fire])
        window = window_on_fire(patch.label & ~patch.ignore, self._size, rng)
        kind = self._generator.training_masks
        if kind == "mixed":
            kind = "annotated" if variant % 2 == 0 else "random"
        if kind == "annotated":
            mask = dilated(patch.label[window], int(rng.integers(1, 5))) & ~patch.ignore[window]
            mask = sometimes_one_side(mask, rng)
        else:
            mask = random_mask(self._size, rng)
        orientation = int(rng.integers(ORIENTATIONS))
        dn = np.ascontiguousarray(turned(patch.bands[self._rows][:, *window], orientation))
        return View(dn, np.ascontiguousarray(turned(mask, orientation)))


class GroundViews:
    """Windows of fire-free patches of the train part with random masks, for class images.

    Args:
        train: the patches to cut from.
        generator: window and seed.
        count: number of views.
    """

    def __init__(self, train: PatchPart, generator: StableDiffusionGenerator, count: int) -> None:
        fires = set(fire_patches(train))
        self._ids = [patch_id for patch_id in train.ids if patch_id not in fires] or train.ids
        self._train, self._generator, self._count = train, generator, count
        self._rows = [train.meta.bands.index(band) for band in generator.composite]
        self._size = generator.window(train.meta.patch_size)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> View:
        """Return one view."""
        seed = self._generator.seed
        rng = seeding.generator(seed, "ground view", number)
        patch = self._train.read(self._ids[seeding.cycled_index(number, len(self._ids), seed, "ground patches")])
        top, left = rng.integers(0, self._train.meta.patch_size - self._size + 1, 2)
        window = slice(top, top + self._size), slice(left, left + self._size)
        return View(patch.bands[self._rows][:, *window], random_mask(self._size, rng))


def random_mask(size: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a rectangle or an ellipse anywhere in a window, bool (size, size)."""
    low, high = (max(1, round(share * size)) for share in _MASK_SIDE)
    height, width = rng.integers(low, high + 1, 2)
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    y, x = np.mgrid[:size, :size]
    if rng.random() < 0.5:
        return (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
    ellipse: npt.NDArray[np.bool_] = (
        ((y + 0.5 - top - height / 2) / (height / 2)) ** 2 + ((x + 0.5 - left - width / 2) / (width / 2)) ** 2
    ) <= 1
    return ellipse
