"""A replicate's verdicts: every painted patch screened, the first accepted ones kept up to the wanted number."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.core.fires import SIZES, numbered_fires
from firefusion_assets.inpainting.masks import Mask, load_masks, save_packed
from firefusion_assets.inpainting.nearest import LEAST_PIXELS, NearestFire, TrainingFires
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.screening import KEPT, Screen, Verdict, read_verdicts
from firefusion_assets.inpainting.selection import Painted, PixelLoss, noisy
from firefusion_assets.patchstore import Patch, PatchPart
from firefusion_assets.study.engine import Engine, ScreenedPatch

COPY_DISTANCE: Final = 0.25
"""Standard deviations of real fires' contrasts below which a painted fire counts as a copy of a real one."""

SURPLUS: Final = "more were painted than asked for"

_COLUMNS = {
    "synthetic_id": str, "accepted": bool, "reason": str, "changed_share": float, "detected_share": float,
    "label_pixels": int, "nearest_patch": str, "nearest_y": int, "nearest_x": int, "nearest_distance": float,
    "copy": str,
}  # fmt: skip

_FIRE_COLUMNS = {
    "synthetic_id": str, "y": int, "x": int, "pixels": int, "changed_share": float, "detected_share": float,
    "reason": str,
}  # fmt: skip


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one replicate as they were written.

    Attributes:
        rows: synthetic_id, accepted, reason, changed_share, detected_share, label_pixels, of the nearest real
            fire patch, centre and distance, `copy` (of accepted ones: `copy`, `no copy`, `too small to tell`), and
            `real_error` where a network trained on real data judges, `NAME_pixels` for each detector, `NAME_score` and
            `NAME_limit` for each rule, and `changed_limit` and `detected_limit` where these are `auto`; in painted
            order.
        labels: bool (N, H, W), the patches' labels.
        ignored: bool (N, H, W), what neither loss nor metrics look at.
    """

    rows: pd.DataFrame
    labels: Mask
    ignored: Mask

    @classmethod
    def read(cls, folder: Path, patch_size: int) -> "Verdicts":
        """Read the verdicts that `screen_painted` wrote."""
        labels, ignored = (load_masks(folder / f"{name}.npy", patch_size) for name in ("labels", "ignored"))
        return cls(pd.read_parquet(folder / "verdicts.parquet"), labels, ignored)


def screen_painted(
    synthetic: SyntheticPatches,
    plan: Plan,
    part: PatchPart,
    screen: Screen,
    images: int,
    engine: Engine,
    folder: Path,
    loss: PixelLoss | None = None,
) -> Mapping[str, Any]:
    """Choose from the screened patches of one replicate and write `verdicts.parquet`, `labels.npy` and `ignored.npy`.

    `fires.parquet` has a row for each connected fire of each label mask: synthetic_id, and what `FireVerdict` has.

    Args:
        synthetic: what was painted.
        plan: what it was painted from.
        part: the fold's train part.
        screen: the config's screening.
        images: accepted patches wanted; what passes beyond them is left out.
        engine: what painted; says which label is learned.
        folder: where the files are written.
        loss: the network that `screening.asks_network` asks for.

    Returns:
        Facts: accepted, wanted and tried patches, shares, copies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fires = TrainingFires(part)
    rows, fire_rows = list[dict[str, Any]](), list[dict[str, Any]]()
    labels, ignored = list[npt.NDArray[np.uint8]](), list[npt.NDArray[np.uint8]]()
    passed = dict[int, Painted | None]()
    twins = _Twins(synthetic, screen.change)
    verdicts = _verdicts(synthetic, plan, part, screen)
    for number, (painted, verdict) in enumerate(zip(synthetic.provenance.itertuples(), verdicts, strict=True)):
        image, before = synthetic.read(number), plan.ground(number, part).bands
        edit, sun = plan.edits[number], float(painted.sun_elevation)
        label = engine.taught(ScreenedPatch(verdict.label, edit, before, image, part.meta.bands, sun))
        twin = twins.of(number, painted.background) if verdict.accepted else ""
        reason = f"a duplicate of {twin}" if twin else verdict.reason
        if not reason:
            passed[number] = Painted(loss(image, label)[edit], label[edit]) if loss is not None else None
        rows.append(
            {
                "synthetic_id": painted.synthetic_id,
                "accepted": False,
                "reason": reason or SURPLUS,
                "changed_share": verdict.changed_share,
                "detected_share": verdict.detected_share,
                "label_pixels": int((label & edit).sum()),
                **_compared(NearestFire()),
                "copy": "",
                **{f"{name}_pixels": pixels for name, pixels in verdict.detector_pixels.items()},
                **{f"{name}_score": score for name, score in verdict.scores.items()},
                **{f"{name}_limit": limit for name, limit in verdict.limits.items()},
            }
        )
        labels.append(np.packbits(label, axis=-1))
        ignored.append(np.packbits(verdict.ignore, axis=-1))
        fire_rows += [{"synthetic_id": painted.synthetic_id, **fire._asdict()} for fire in verdict.fires]
    kept = _kept(passed, screen.settings.select, images)
    judged = {number: one for number in kept if (one := passed[number]) is not None}
    if screen.settings.label == "loss-filtered":
        for number, doubted in zip(judged, noisy([*judged.values()]), strict=True):
            left_out = np.zeros_like(plan.edits[number])
            left_out[plan.edits[number]] = doubted
            packed = np.packbits(left_out, axis=-1)
            labels[number], ignored[number] = labels[number] & ~packed, ignored[number] | packed
    for number in kept:
        label, ignore = (
            np.unpackbits(planes[number], axis=-1, count=part.meta.patch_size).view(np.bool_)
            for planes in (labels, ignored)
        )
        # All that was painted is compared: a refined label would hide the rest of a copy.
        nearest = fires.nearest(Patch(synthetic.read(number), plan.labels[number], ignore))
        rows[number] |= {"accepted": True, "reason": "", "label_pixels": int((label & plan.edits[number]).sum())}
        rows[number] |= {**_compared(nearest), "copy": _copied(nearest, plan.labels[number])}
    for number, one in passed.items():
        if one is not None:
            rows[number]["real_error"] = one.error
    columns = _COLUMNS | ({"real_error": float} if loss is not None else {})
    columns |= {f"{name}_pixels": int for name in screen.settings.detectors}
    columns |= {f"{rule.rule}_{figure}": float for rule in screen.settings.rules for figure in ("score", "limit")}
    columns |= {f"{name}_limit": float for name in screen.limits}
    table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    table.to_parquet(folder / "verdicts.parquet", index=False)
    fire_table = pd.DataFrame(fire_rows, columns=list(_FIRE_COLUMNS)).astype(_FIRE_COLUMNS)
    fire_table.to_parquet(folder / "fires.parquet", index=False)
    for name, planes in (("labels", labels), ("ignored", ignored)):
        save_packed(planes, part.meta.patch_size, folder / f"{name}.npy")
    painted_pixels = plan.rows["label_pixels"].iloc[: len(table)]
    passed_rows = table["reason"].isin(["", SURPLUS])
    by_size = {
        f"{kind}_{name}_px": int(rows[painted_pixels.between(*size).to_numpy()].sum())
        for name, size in SIZES.items()
        for kind, rows in (("tried", pd.Series(True, table.index)), ("passed", passed_rows))
    }
    return {
        **by_size,
        "n_images": int(table["accepted"].sum()),
        "wanted": images,
        "tried": len(table),
        "n_passed": len(passed),
        "n_fires": len(fire_table),
        "n_fires_unpainted": int((fire_table["reason"] != "").sum()),
        "n_copies": int((table["copy"] == "copy").sum()),
        "n_too_small_to_tell": int((table["copy"] == "too small to tell").sum()),
        "changed_share_sum": float(table["changed_share"].sum()),
        "detected_share_sum": float(table["detected_share"].sum()),
    }


def _kept(passed: Mapping[int, Painted | None], select: str, images: int) -> list[int]:
    """Return the patches that are kept, in painted order."""
    order = [*passed]
    if select != "all":
        errors = {number: one.error for number, one in passed.items() if one is not None}
        order.sort(key=lambda number: errors[number], reverse=select == "hard")
    return sorted(order[:images])


def _compared(nearest: NearestFire) -> dict[str, Any]:
    place = {"nearest_patch": nearest.patch_id, "nearest_y": nearest.y, "nearest_x": nearest.x}
    return place | {"nearest_distance": nearest.distance}


class _Twins:
    """Finds patches that were painted alike: on one background, no pixel differs by what counts as a change.

    Args:
        synthetic: what was painted.
        change: see `Screen.change`.
    """

    def __init__(self, synthetic: SyntheticPatches, change: npt.NDArray[np.floating]) -> None:
        self._synthetic, self._change = synthetic, change[:, None, None]
        self._passed: defaultdict[str, list[int]] = defaultdict(list)

    def of(self, number: int, background: str) -> str:
        """Return the id of the first patch that a patch is alike, among those asked for before; empty without one."""
        image = self._synthetic.read(number).astype(np.int32)
        for other in self._passed[background]:
            if (np.abs(image - self._synthetic.read(other)) <= self._change).all():
                return str(self._synthetic.provenance["synthetic_id"].iloc[other])
        self._passed[background].append(number)
        return ""


def _copied(nearest: NearestFire, label: Mask) -> str:
    """Say whether a painted fire is a copy; without a real fire of like shape it is none."""
    if nearest.patch_id:
        return "copy" if nearest.distance < COPY_DISTANCE else "no copy"
    largest = np.bincount(numbered_fires(label)[label]).max()
    return "too small to tell" if largest < LEAST_PIXELS else "no copy"


def _verdicts(synthetic: SyntheticPatches, plan: Plan, part: PatchPart, screen: Screen) -> Iterator[Verdict]:
    """Yield the verdicts that painting kept; patches that were painted before it kept them are screened anew."""
    if (synthetic.folder / KEPT).is_file():
        yield from read_verdicts(synthetic.folder, part.meta.patch_size)
        return
    for number, painted in enumerate(synthetic.provenance.itertuples()):
        yield screen(
            plan.ground(number, part),
            synthetic.read(number),
            plan.labels[number],
            plan.edits[number],
            painted.sun_elevation,
        )
