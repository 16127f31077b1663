"""Painting whole patches by windows of a model's size: window after window, each seeing what was painted before.

Says where windows go and how their paint comes together; the caller paints them.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.engines.blending import feather
from firefusion_assets.engines.contract import compose, finite

_CONTEXT: Final = 4
"""px of known background that a window should see around what it paints."""

_ONE_SIDE_SHARE: Final = 0.25
"""Share of the masks an engine learns from of which one side is left, as in overlapping windows."""

Window = tuple[slice, slice]


class Place(NamedTuple):
    """A window in the order of painting.

    Attributes:
        patch: position of the patch in the batch.
        number: how many windows of that patch come before.
        window: rows and columns.
    """

    patch: int
    number: int
    window: Window


Sample = Callable[
    [npt.NDArray[np.uint16], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Sequence[Place]], npt.NDArray[np.floating]
]
"""Paints windows: DN (M, C, S, S) as they are now, labels and edit masks (M, S, S), and their places; gives DN."""


def paint_by_windows(
    backgrounds: npt.NDArray[np.uint16],
    labels: npt.NDArray[np.bool_],
    edits: npt.NDArray[np.bool_],
    size: int,
    dn_max: int,
    sample: Sample,
) -> npt.NDArray[np.uint16]:
    """Paint every edit mask, then fade the paint outside the label into the ground, so that no edge shows.

    Each call of `sample` gets the next windows of all patches that do not overlap each other: fires apart are
    painted in one batch, a large fire window after window.

    Args:
        backgrounds: uint16 DN (N, C, H, W).
        labels: bool (N, H, W), where fire shall be.
        edits: bool (N, H, W), what may change.
        size: height and width of a window in px.
        dn_max: largest DN.
        sample: paints windows.

    Returns:
        uint16 DN (N, C, H, W); a patch of which a window isn't painted with numbers alone stays its background.
    """
    painted, remaining = backgrounds.copy(), edits.copy()
    done = [0] * len(backgrounds)
    while places := [place for patch, n in enumerate(done) for place in _next_places(patch, n, remaining[patch], size)]:
        known = np.stack([painted[place.patch, :, *place.window] for place in places])
        label = np.stack([labels[place.patch, *place.window] for place in places])
        edit = np.stack([remaining[place.patch, *place.window] for place in places])
        sampled = sample(known, label, edit, places)
        for place, crop in zip(places, compose(sampled, known, edit, dn_max), strict=True):
            painted[place.patch, :, *place.window] = crop
            remaining[place.patch, *place.window] = False
            done[place.patch] += 1
        lost = [place.patch for place, kept in zip(places, finite(sampled, edit), strict=True) if not kept]
        painted[lost], remaining[lost] = backgrounds[lost], False
    opacity = np.stack([feather(label, edit) for label, edit in zip(labels, edits, strict=True)])[:, None]
    ground = backgrounds.astype(np.float32)
    return compose(ground + (painted - ground) * opacity, backgrounds, edits, dn_max)


def _next_places(patch: int, done: int, remaining: npt.NDArray[np.bool_], size: int) -> list[Place]:
    """Return the windows that come next on one patch, up to the first that overlaps an earlier one."""
    places: list[Place] = []
    taken, left = np.zeros_like(remaining), remaining.copy()
    while left.any():
        window = next_window(left, size)
        if taken[window].any():
            break
        places.append(Place(patch, done + len(places), window))
        taken[window], left[window] = True, False
    return places


def next_window(remaining: npt.NDArray[np.bool_], size: int) -> Window:
    """Return the window to paint next: rows and columns, `size` px each, inside the patch.

    It holds the first remaining pixel. Along each axis it is centred on that pixel's connected region where
    the region fits with some context, else it starts a little before the pixel; the rest is left to later
    windows, which see what this one painted.

    Args:
        remaining: bool (H, W), what is still to be painted; not empty, H and W at least `size`.
        size: height and width of the window in px.
    """
    regions = numbered_fires(remaining)
    first = np.unravel_index(remaining.argmax(), remaining.shape)
    box = find_objects(regions)[regions[first] - 1]
    starts = []
    for pixel, extent, length in zip(first, box, remaining.shape, strict=True):
        fits = extent.stop - extent.start + 2 * _CONTEXT <= size
        start = (extent.start + extent.stop - size) // 2 if fits else int(pixel) - _CONTEXT
        starts.append(min(max(start, 0), length - size))
    top, left = starts
    return slice(top, top + size), slice(left, left + size)


def sometimes_one_side(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a mask (H, W), or now and then its part from one column on: what a later of overlapping windows paints.

    Turned, it is any side. An empty mask stays so.
    """
    if not mask.any() or rng.random() >= _ONE_SIDE_SHARE:
        return mask
    side = mask.copy()
    side[:, : rng.choice(np.flatnonzero(mask.any(axis=0)))] = False
    return side


def window_on_fire(label: npt.NDArray[np.bool_], size: int, rng: np.random.Generator) -> Window:
    """Return a window with a random fire pixel in it, not at its edge if the patch allows.

    Args:
        label: bool (H, W), fire pixels to choose from; not empty.
        size: height and width of the window in px, at most those of the patch.
        rng: of the draw.
    """
    pixel = rng.choice(np.argwhere(label))
    margin = min(_CONTEXT, (size - 1) // 2)
    top, left = np.clip(pixel - rng.integers(margin, size - margin, 2), 0, label.shape[0] - size)
    return slice(top, top + size), slice(left, left + size)
