"""Which of the patches that pass are kept, and which of their pixels a network trained on real data alone doubts."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firefusion_assets.inpainting.masks import Mask

NOISY: Final = 1.25
"""Times the mean loss of its class above which a pixel is ignored (Yang et al. 2023, FreeMask, arXiv 2310.15160)."""

Losses = npt.NDArray[np.float32]


PixelLoss = Callable[[npt.NDArray[np.uint16], Mask], Losses]
"""A network that was trained on the train part's real patches alone: the cross-entropy of each pixel of a patch,
(H, W), from its DN (C, H, W) and label, bool (H, W)."""


class Painted(NamedTuple):
    """What the network says of one patch's paint: losses (N,) in its edit mask, and which pixels are fire, (N,)."""

    losses: Losses
    fire: npt.NDArray[np.bool_]

    @property
    def error(self) -> float:
        """The mean loss of both classes, equally weighted; of one where there is no other."""
        means = [float(self.losses[of].mean()) for of in (self.fire, ~self.fire) if of.any()]
        return float(np.mean(means))


def noisy(painted: Sequence[Painted]) -> list[npt.NDArray[np.bool_]]:
    """Return for each patch which pixels of its paint cost more than 1.25 times the mean of their class in all of them.

    A label that is wrong there is what a network can't learn from; so is fire where none was painted.
    """
    limits = {}
    for of_fire in (True, False):
        costs = np.concatenate([one.losses[one.fire == of_fire] for one in painted] or [np.empty(0)])
        limits[of_fire] = NOISY * float(costs.mean()) if len(costs) else float("inf")
    return [one.losses > np.where(one.fire, limits[True], limits[False]) for one in painted]
