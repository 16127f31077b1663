"""How real fires would be judged: the scores that painted ones are seen beside, the share that would pass, and limits.

Fires are judged as though they were painted, each by what other patches teach. What the ground under a real fire looked
like is not known, so its median stands for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.fires import LARGE
from firefusion_assets.core.seeding import generator
from firefusion_assets.inpainting.masks import Mask
from firefusion_assets.inpainting.nearest import TrainingFires
from firefusion_assets.inpainting.screening import Screen, Verdict
from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.study.augmentation import Screening
from firefusion_assets.study.rule import LimitedRule

FEWEST: Final = 8
"""Real fires of 20 px and more without which no limit is taken from them."""

_LARGEST_SHARE: Final = 0.95
"""Share of a label that is asked for at most: else a single pixel of hundreds decides where real fires burn wholly."""

_MOST: Final = 256
"""Real fires that limits are taken from at most; more change them little."""

_TURNS: Final = 4
"""Parts that the burning patches are dealt to, each judged by what the others teach."""

_GROUND: Final = 64
"""Patches without fire that each of these judgements learns from beside real fires."""


def score_real_fires(
    screening: Screening,
    part: PatchPart,
    sun_elevation: pd.Series,
    dilation: int,
    limits: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Judge the train part's burning patches as though they were painted, each by fires of other patches alone.

    That the label changed says nothing here.

    Args:
        screening: the config's.
        part: the fold's train part.
        sun_elevation: degrees, by patch_id.
        dilation: px by which the edit mask is larger than the label.
        limits: of `real_limits`.

    Returns:
        A row a burning patch: patch_id, accepted, reason, nearest_distance, `NAME_score` for each rule, and with
        detectors detected_share; empty where fewer than two patches burn.
    """
    rows = []
    for others, judged in _turns(part, part.statistics.fire):
        screen, fires = Screen(screening, others, limits), TrainingFires(others)
        for patch_id in judged:
            real, verdict = _judged(screen, part.read(patch_id), dilation, float(sun_elevation[patch_id]))
            rows.append(
                {
                    "patch_id": patch_id,
                    "accepted": verdict.accepted,
                    "reason": verdict.reason,
                    "nearest_distance": fires.nearest(real).distance,
                    **{f"{name}_score": score for name, score in verdict.scores.items()},
                    **({"detected_share": verdict.detected_share} if screening.detectors else {}),
                }
            )
    return pd.DataFrame(rows)


class _Limit(NamedTuple):
    """A limit that is `auto`: its key, the quantile of real fires' scores, what stands in where too few burn, and the
    highest that makes sense.
    """

    key: str
    quantile: float
    otherwise: float
    highest: float = float("inf")


def real_limits(
    screening: Screening,
    part: PatchPart,
    sun_elevation: pd.Series,
    dilation: int,
    tell: Callable[[str], None] = lambda line: None,
) -> Mapping[str, float]:
    """Return what stands for each limit that is `auto`: a quantile of the scores of the train part's large fires.

    Args:
        screening: the config's.
        part: the fold's train part.
        sun_elevation: degrees, by patch_id.
        dilation: px by which the edit mask is larger than the label.
        tell: called with a line where too few fires burn, so that the default stands in.

    Returns:
        By the name of a rule, or `changed` and `detected`; empty where nothing is `auto`.
    """
    wanted = _wanted(screening)
    if not wanted:
        return {}
    draw = generator("real limits").permutation(len(part.statistics.fire))
    burning = [patch_id for place in draw if _burns_large(part, patch_id := part.statistics.fire[place])][:_MOST]
    alone = screening.model_copy(update={"rules": tuple(rule for rule in screening.rules if rule.rule in wanted)})
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for others, judged in _turns(part, burning):
        screen = Screen(alone, others)
        for patch_id in judged:
            _, verdict = _judged(screen, part.read(patch_id), dilation, float(sun_elevation[patch_id]))
            scores = {"changed": verdict.changed_share, "detected": verdict.detected_share, **verdict.scores}
            for name, known in found.items():
                known += [scores[name]] if np.isfinite(scores[name]) else []
    limits = {}
    for name, limit in wanted.items():
        known = found[name]
        if len(known) >= FEWEST:
            limits[name] = min(limit.highest, float(np.quantile(known, limit.quantile)))
        else:
            limits[name] = limit.otherwise
            tell(
                f"screening.{limit.key}: auto needs {FEWEST} real fires of {LARGE} px and more that can be judged, the "
                f"train part has {len(known)}; {limit.otherwise:g} stands in: give a number, or add scenes"
            )
    return limits


def _wanted(screening: Screening) -> dict[str, _Limit]:
    wanted = {}
    for name in ("changed", *(["detected"] if screening.detectors else [])):
        if getattr(screening, f"min_{name}") == "auto":
            otherwise = Screening.model_fields[f"min_{name}"].default
            wanted[name] = _Limit(f"min_{name}", 1 - screening.quantile, otherwise, _LARGEST_SHARE)
    for rule in screening.rules:
        if isinstance(rule, LimitedRule) and np.isinf(rule.highest):
            otherwise = type(rule).model_fields[rule.limited_by].default
            wanted[rule.rule] = _Limit(f"rules.{rule.rule}.{rule.limited_by}", rule.quantile, otherwise)
    return wanted


def _burns_large(part: PatchPart, patch_id: str) -> bool:
    patch = part.read(patch_id)
    return bool((patch.label & ~patch.ignore).sum() >= LARGE)


def _turns(part: PatchPart, burning: Sequence[str]) -> Iterator[tuple[PatchPart, list[str]]]:
    """Yield burning patches with the part that they are judged by; nothing where fewer than two burn."""
    draw = generator("real scores")
    fire = set(part.statistics.fire)
    ground = [patch_id for patch_id in sorted(part.ids) if patch_id not in fire]
    ground = [ground[place] for place in sorted(draw.permutation(len(ground))[:_GROUND])]
    order = [burning[place] for place in draw.permutation(len(burning))]
    for turn in range(min(_TURNS, len(order)) if len(order) > 1 else 0):
        judged = order[turn::_TURNS]
        yield part.only([*sorted(set(order) - set(judged)), *ground]), judged


def _judged(screen: Screen, real: Patch, dilation: int, sun_elevation: float) -> tuple[Patch, Verdict]:
    """Return a burning patch as though it were painted, with what a screen says of it."""
    label = real.label & ~real.ignore
    edit = dilated(label, dilation) & ~real.ignore
    before = real._replace(bands=_levelled(real, edit), label=np.zeros_like(label))
    return Patch(real.bands, label, real.ignore), screen(before, real.bands, label, edit, sun_elevation)


def _levelled(patch: Patch, edit: Mask) -> npt.NDArray[np.uint16]:
    """Return the bands with the ground's median inside the edit mask; all of them where no ground is left."""
    beside = ~edit & ~patch.ignore
    if not beside.any():
        beside = ~patch.ignore
    levels = np.median(patch.bands[:, beside], axis=1)
    return np.where(edit, levels[:, None, None], patch.bands).astype(np.uint16)
