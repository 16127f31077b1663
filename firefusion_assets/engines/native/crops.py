"""What the network learns from: crops of the train part, each with a label and an edit mask.

Every crop follows from the seed and its place in the stream alone, so a resumed training sees the same ones.
Patches are read as they are needed: the store gives crops without copying whole patches.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter

from firefusion_assets.core import seeding
from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.core.orientation import ORIENTATIONS, turned
from firefusion_assets.engines.contract import fire_patches
from firefusion_assets.engines.native.scaling import Scaling
from firefusion_assets.engines.physics.painter import PhysicsPainter, burning
from firefusion_assets.engines.windows import Window, sometimes_one_side, window_on_fire
from firefusion_assets.patchstore import Patch, PatchPart

Mask = npt.NDArray[np.bool_]

_PLAIN_SHARE: Final = 0.25
"""Share of crops with an empty label, from which the network learns to paint ground."""
_DILATIONS: Final = 1, 5
"""px, from and below, by which an edit mask is larger than its label."""
_EMBERS_REACH: Final = 4
"""px around painted flames where embers may glow."""
_BRIGHTNESS: Final = 0.1
"""Standard deviation of what is added to a crop, scaled units; a gain would make fires brighter and dimmer than any."""
_GROUNDS: Final = 8
"""Places of which the one with the least event is taken as ground without."""


class Crops(NamedTuple):
    """Crops of one step, ready for the network.

    Attributes:
        bands: float32 (N, C, S, S), scaled.
        label: float32 (N, 1, S, S), 1 where the edit mask shall hold fire.
        edit: float32 (N, 1, S, S), 1 where the network paints.
        valid: float32 (N, 1, S, S), 0 where the patch holds fill or is ignored.
        size: float32 (N, 1, S, S), the logarithm of the pixels of the fire that a pixel is of or touches, else 0.
    """

    bands: npt.NDArray[np.float32]
    label: npt.NDArray[np.float32]
    edit: npt.NDArray[np.float32]
    valid: npt.NDArray[np.float32]
    size: npt.NDArray[np.float32]


class CropStream:
    """An endless stream of crops.

    Args:
        train: the patches to cut from.
        scaling: of the bands.
        size: height and width of a crop in px.
        seed: of all draws.
        physics: whether fires are those that engine `physics` paints into ground of the train part, where real ones
            stand for what burns where; else the real ones.

    Raises:
        ValueError: if patches are smaller than a crop.
        NoFireError: if no patch holds a fire.
    """

    def __init__(self, train: PatchPart, scaling: Scaling, size: int, seed: int, physics: bool = False) -> None:
        if train.meta.patch_size < size:
            raise ValueError(
                f"generator.crop: {size} px, but patches have {train.meta.patch_size}; set it to at most that"
            )
        self.fire_ids = fire_patches(train)
        self._train, self._scaling, self._size, self._seed = train, scaling, size, seed
        self._physics = PhysicsPainter(train.meta.bands, train.meta.dn_max) if physics else None

    def batch(self, step: int, n: int) -> Crops:
        """Return the ``n`` crops of a step."""
        return stacked([self._crop(step * n + i) for i in range(n)])

    def _crop(self, position: int) -> Crops:
        """Return one crop, without the leading axis."""
        rng = seeding.generator(self._seed, "crop", position)
        crop = self._fire(position, rng)
        dilation = int(rng.integers(*_DILATIONS))
        if rng.random() < _PLAIN_SHARE:
            mask, crop = crop.label, self._anywhere(rng)
            edit = _moved(dilated(mask, dilation), rng) & ~dilated(crop.label, dilation)
        else:
            if self._physics is not None:
                crop = self._burning(crop.label, self._physics, rng)
            edit = sometimes_one_side(dilated(crop.label, dilation), rng)
        bands = self._brightened(crop.bands, rng)
        turn = int(rng.integers(ORIENTATIONS))
        return Crops(*(turned(array, turn) for array in crop_of(bands, crop.label, edit, ~crop.ignore)))

    def transplanted(self, n: int) -> tuple[Crops, Crops]:
        """Return ``n`` crops with real fires, and as many with the same masks on ground that burns least."""
        pairs = []
        for position in range(n):
            rng = seeding.generator(self._seed, "transplanted", position)
            fire = self._fire(position, rng)
            label = fire.label & ~fire.ignore
            edit = dilated(label, int(rng.integers(*_DILATIONS)))
            places = [self._anywhere(rng) for _ in range(_GROUNDS)]
            unfit = [int(((place.label | place.ignore) & edit).sum()) for place in places]
            for patch in (fire, places[unfit.index(min(unfit))]):
                pairs.append(crop_of(self._scaling.from_dn(patch.bands), label, edit, ~patch.ignore))
        return stacked(pairs[::2]), stacked(pairs[1::2])

    def _fire(self, position: int, rng: np.random.Generator) -> Patch:
        """Return a window with a fire of the train part, each patch's in turn."""
        number = seeding.cycled_index(position, len(self.fire_ids), self._seed, "fire patches")
        patch = self._train.read(self.fire_ids[number])
        return cut(patch, window_on_fire(patch.label & ~patch.ignore, self._size, rng))

    def _anywhere(self, rng: np.random.Generator) -> Patch:
        patch = self._train.read(self._train.ids[rng.integers(len(self._train))])
        top, left = rng.integers(0, self._train.meta.patch_size - self._size + 1, 2)
        return cut(patch, (slice(top, top + self._size), slice(left, left + self._size)))

    def _burning(self, mask: Mask, painter: PhysicsPainter, rng: np.random.Generator) -> Patch:
        """Return ground anywhere that burns within a mask of a real fire, turned."""
        ground = self._anywhere(rng)
        label = turned(mask[None], int(rng.integers(ORIENTATIONS)))[0]
        edit = dilated(label, _EMBERS_REACH) & ~ground.ignore
        (bands,) = painter.paint(ground.bands[None], label[None] & edit, edit[None], rng.integers(0, 2**62, 1))
        return ground._replace(bands=bands, label=ground.label | burning(self._train.meta.bands, ground.bands, bands))

    def _brightened(self, dn: npt.NDArray[np.uint16], rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Scale DN with a random brightness; saturated pixels stay saturated."""
        scaled = self._scaling.from_dn(dn)
        return np.where(dn == self._scaling.dn_max, scaled, scaled + np.float32(rng.normal(0, _BRIGHTNESS)))


def crop_of(bands: npt.NDArray[np.float32], label: Mask, edit: Mask, valid: Mask) -> Crops:
    """Return one crop, without the leading axis: scaled bands (C, S, S); where they burn, are painted and known."""
    planes = np.stack([label & edit, edit, valid]).astype(np.float32)
    fires = numbered_fires(label)
    pixels = np.bincount(fires.ravel())
    pixels[0] = 1
    size = maximum_filter(np.log(pixels, dtype=np.float32)[fires], 3)[None]
    return Crops(bands * planes[2], planes[:1], planes[1:2], planes[2:], size)


def stacked(crops: Sequence[Crops]) -> Crops:
    """Return crops with a leading axis."""
    return Crops(*(np.stack(arrays) for arrays in zip(*crops, strict=True)))


def cut(patch: Patch, window: Window) -> Patch:
    """Return a window of a patch."""
    return patch._replace(bands=patch.bands[:, *window], label=patch.label[window], ignore=patch.ignore[window])


def _moved(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Shift a mask by a random offset; what leaves one side comes back on the other."""
    shift = rng.integers(0, mask.shape[0], 2)
    return np.roll(mask, (int(shift[0]), int(shift[1])), axis=(0, 1))
