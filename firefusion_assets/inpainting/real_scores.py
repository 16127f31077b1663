"""How real fires would be judged: the scores that painted ones are seen beside, and the share that would pass."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.seeding import generator
from firefusion_assets.inpainting.masks import Mask
from firefusion_assets.inpainting.nearest import TrainingFires
from firefusion_assets.inpainting.screening import Screen
from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.study.augmentation import Screening

_TURNS: Final = 4
"""Parts that the burning patches are dealt to, each judged by what the others teach."""

_GROUND: Final = 64
"""Patches without fire that each of these judgements learns from beside real fires."""


def score_real_fires(screening: Screening, part: PatchPart, sun_elevation: pd.Series, dilation: int) -> pd.DataFrame:
    """Judge the train part's burning patches as though they were painted, each by fires of other patches alone.

    What the ground under a real fire looked like is not known, so its median stands for it: that the label changed
    says nothing here.

    Args:
        screening: the config's.
        part: the fold's train part.
        sun_elevation: degrees, by patch_id.
        dilation: px by which the edit mask is larger than the label.

    Returns:
        A row a burning patch: patch_id, accepted, reason, nearest_distance, `NAME_score` for each rule, and with
        detectors detected_share; empty where fewer than two patches burn.
    """
    burning = part.statistics.fire
    draw = generator("real scores")
    ground = [patch_id for patch_id in sorted(part.ids) if patch_id not in set(burning)]
    ground = [ground[place] for place in sorted(draw.permutation(len(ground))[:_GROUND])]
    order = [burning[place] for place in draw.permutation(len(burning))]
    rows = []
    for turn in range(min(_TURNS, len(order)) if len(order) > 1 else 0):
        judged = order[turn::_TURNS]
        others = part.only([*sorted(set(order) - set(judged)), *ground])
        screen, fires = Screen(screening, others), TrainingFires(others)
        for patch_id in judged:
            real = part.read(patch_id)
            label = real.label & ~real.ignore
            edit = dilated(label, dilation) & ~real.ignore
            before = real._replace(bands=_levelled(real, edit), label=np.zeros_like(label))
            verdict = screen(before, real.bands, label, edit, float(sun_elevation[patch_id]))
            rows.append(
                {
                    "patch_id": patch_id,
                    "accepted": verdict.accepted,
                    "reason": verdict.reason,
                    "nearest_distance": fires.nearest(Patch(real.bands, label, real.ignore)).distance,
                    **{f"{name}_score": score for name, score in verdict.scores.items()},
                    **({"detected_share": verdict.detected_share} if screening.detectors else {}),
                }
            )
    return pd.DataFrame(rows)


def _levelled(patch: Patch, edit: Mask) -> npt.NDArray[np.uint16]:
    """Return the bands with the ground's median inside the edit mask; all of them where no ground is left."""
    beside = ~edit & ~patch.ignore
    if not beside.any():
        beside = ~patch.ignore
    levels = np.median(patch.bands[:, beside], axis=1)
    return np.where(edit, levels[:, None, None], patch.bands).astype(np.uint16)
