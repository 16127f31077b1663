"""The eight orientations."""

import numpy as np

from firefusion_assets.core.orientation import turned


def test_the_eight_turns_differ_and_keep_the_pixels() -> None:
    mask = np.zeros((3, 4), bool)
    mask[0, 1] = mask[2, 3] = mask[2, 2] = True
    turns = {turned(mask, turn).tobytes() + bytes(turned(mask, turn).shape) for turn in range(8)}
    assert len(turns) == 8 and all(turned(mask, turn).sum() == 3 for turn in range(8))
