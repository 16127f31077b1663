"""Screening: which painted patches, and which of their pixels, may be learned from.

A patch passes if enough of its label changed and enough of it is confirmed by the detectors, or the pixels are so few
that they may miss the share by chance. Each connected fire of a label gets a verdict of its own too. No threshold looks
at val or test: the scale of a change is the bands' spread over the train part.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.core.dilation import dilated
from firefusion_assets.core.fires import numbered_fires
from firefusion_assets.inpainting.masks import Mask, load_masks, save_packed
from firefusion_assets.inpainting.shares import FireVerdict, Shares
from firefusion_assets.landsat.detectors import SATURATED, detect
from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.study.augmentation import Screening
from firefusion_assets.study.engine import ScreenedPatch
from firefusion_assets.study.rule import LimitedRule, Rule

KEPT: Final = "screening.json"
"""Verdicts beside the painted patches of a fold; older ones lack it."""

CHANGE: Final = 0.5
"""A pixel counts as changed where any band moved by more than this share of its interquartile range."""


@dataclass(frozen=True)
class Verdict:
    """What screening says of one painted patch.

    Attributes:
        accepted: whether it may be learned from.
        reason: why not; empty if accepted.
        changed_share: share of the label mask that changed.
        detected_share: share of the label mask that the detectors confirm; missing without detectors.
        detector_pixels: pixels of the label mask that each detector sees.
        label: bool (H, W), the patch's label: the background's own outside the edit mask, accepted pixels inside.
        ignore: bool (H, W), pixels that neither loss nor metrics look at.
        scores: what each of the config's rules measured.
        limits: of the scores where there is one, and of the shares `changed` and `detected` if they are `auto`.
        fires: of each fire of the label mask, in the order of their first pixels.
    """

    accepted: bool
    reason: str
    changed_share: float
    detected_share: float
    detector_pixels: Mapping[str, int]
    label: Mask
    ignore: Mask
    scores: Mapping[str, float]
    limits: Mapping[str, float]
    fires: Sequence[FireVerdict]


class Screen:
    """Screens the painted patches of one fold.

    Args:
        settings: the config's.
        part: the fold's train part, whose spread gives the scale of a change.
        limits: what stands for limits that are `auto`, by `real_limits`; without it they reject nothing.

    Attributes:
        bands: names of the bands.
        change: float (C,), DN by which a pixel has to move to count as changed.
        limits: as given.
    """

    def __init__(self, settings: Screening, part: PatchPart, limits: Mapping[str, float] | None = None) -> None:
        self.settings, self.limits = settings, limits or {}
        self.bands = part.meta.bands
        self.change = CHANGE * np.array(part.statistics.interquartile_range)
        self._shares = Shares(settings, self.limits)
        self._judges = {rule.rule: self._limited(rule).fitted(part) for rule in settings.rules}

    def __call__(
        self,
        background: Patch,
        painted: npt.NDArray[np.uint16],
        label: Mask,
        edit: Mask,
        sun_elevation: float,
    ) -> Verdict:
        """Judge one patch.

        Args:
            background: the patch that was painted on.
            painted: uint16 (C, H, W), what came out.
            label: bool (H, W), where fire was wanted.
            edit: bool (H, W), what could change.
            sun_elevation: degrees; only used by detectors.
        """
        difference = np.abs(painted.astype(np.int32) - background.bands.astype(np.int32))
        changed = (difference > self.change[:, None, None]).any(0) & edit
        found = self._found(painted, sun_elevation)
        detected = changed
        if found:
            # A saturated pixel burns whatever a detector's contrasts make of it.
            saturated = painted[self.bands.index("B7")] == SATURATED
            detected = np.logical_or.reduce([saturated, *found.values()]) & edit
        fires = self._shares.fires(label, changed, detected)
        reasons = ["nothing was painted: there is no image, or the model gave values that aren't numbers"]
        if difference[:, edit].any():
            shortfalls = self._shares.shortfalls(changed[label], detected[label], "the label")
            reasons = shortfalls or self._shares.of_fires(fires)
        patch = ScreenedPatch(label, edit, background.bands, painted, self.bands, sun_elevation)
        judged = {name: judge(patch) for name, judge in self._judges.items()}
        reasons += [judgement.reason for judgement in judged.values() if judgement.reason]
        # Whether a background's own fire outside the label still burns there is unknown.
        fire, ignored = label, background.label & edit & ~label
        if self.settings.label == "refined":
            fire = label & detected
            # Outside the label a detector may see fire that was not asked for: it is unknown, so it is ignored.
            beside = detected & ~label if self.settings.detectors else np.zeros_like(label)
            ignored |= beside
        if self.settings.fires == "ignore":
            missed = [number for number, one in enumerate(fires, start=1) if one.reason]
            fire = fire & ~np.isin(numbered_fires(label), missed)
        ignored |= label & ~fire
        if self.settings.ring:
            ignored |= dilated(fire, self.settings.ring) & edit & ~fire
        return Verdict(
            accepted=not reasons,
            reason="; ".join(reasons),
            changed_share=float(changed[label].mean()),
            detected_share=float(detected[label].mean()) if self.settings.detectors else float("nan"),
            detector_pixels={name: int((mask & label).sum()) for name, mask in found.items()},
            label=(background.label & ~edit) | fire,
            ignore=background.ignore | ignored,
            scores={name: judgement.score for name, judgement in judged.items()},
            limits={
                **self.limits,
                **{name: judgement.limit for name, judgement in judged.items() if judgement.limit is not None},
            },
            fires=fires,
        )

    def _limited(self, rule: Rule) -> Rule:
        if isinstance(rule, LimitedRule) and rule.rule in self.limits:
            return rule.limited(self.limits[rule.rule])
        return rule

    def _found(self, painted: npt.NDArray[np.uint16], sun_elevation: float) -> dict[str, Mask]:
        if not self.settings.detectors:
            return {}
        return detect(self.settings.detectors, dict(zip(self.bands, painted, strict=True)), sun_elevation)


class KeptVerdicts:
    """Verdicts of a replicate in painted order; their masks are held packed."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._packed: dict[str, list[npt.NDArray[np.uint8]]] = {"label": [], "ignore": []}

    def add(self, verdict: Verdict) -> None:
        """Note the next patch's verdict."""
        row = vars(verdict).copy()
        for name, planes in self._packed.items():
            planes.append(np.packbits(row.pop(name), axis=-1))
        self._rows.append(row)

    def write(self, folder: Path, patch_size: int) -> None:
        """Write them for `read_verdicts`."""
        for name, planes in self._packed.items():
            save_packed(planes, patch_size, folder / f"screened_{name}.npy")
        (folder / KEPT).write_text(json.dumps(self._rows))


def read_verdicts(folder: Path, patch_size: int) -> Iterator[Verdict]:
    """Yield the verdicts that `KeptVerdicts.write` wrote."""
    rows = json.loads((folder / KEPT).read_text())
    labels, ignored = (load_masks(folder / f"screened_{name}.npy", patch_size) for name in ("label", "ignore"))
    for row, label, ignore in zip(rows, labels, ignored, strict=True):
        yield Verdict(**row | {"fires": [FireVerdict(*fire) for fire in row["fires"]]}, label=label, ignore=ignore)
