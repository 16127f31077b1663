"""A replicate that was painted and judged, as people look at it: its patches, and what tells paint from real fires."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from firefusion_assets.core.dilation import dilated
from firefusion_assets.inpainting.fingerprint import Fingerprint, Region, fingerprint
from firefusion_assets.inpainting.nearest import cut_around
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.texture import TextureDistance, texture_distance
from firefusion_assets.inpainting.verdicts import Verdicts
from firefusion_assets.lineage.folds import Fold
from firefusion_assets.report.inputs import PaintedExample

_RING: Final = 8
"""px of ground around an edit mask that are held to what they were before painting."""


class Look(NamedTuple):
    """A replicate that was painted and judged."""

    fold: Fold
    synthetic: SyntheticPatches
    plan: Plan
    judged: Verdicts

    def example(self, number: int) -> PaintedExample:
        """Return one painted patch, cut to what was painted."""
        row, verdict = self.plan.rows.iloc[number], self.judged.rows.loc[number]
        top, left, side = (int(row[f"crop_{name}"]) for name in ("y", "x", "size"))
        crop = (slice(top, top + side), slice(left, left + side))
        painted_id, nearest = verdict["synthetic_id"], None
        if verdict["nearest_patch"]:
            burning = self.fold.train.read(verdict["nearest_patch"])
            nearest = cut_around(burning, verdict["nearest_y"], verdict["nearest_x"], side)
        return PaintedExample(
            background=self.fold.train.read(row["background"]).bands[:, *crop],
            painted=self.synthetic.read(number)[:, *crop],
            mask=self.plan.labels[number][crop],
            label=self.judged.labels[number][crop],
            ignore=self.judged.ignored[number][crop],
            nearest=nearest,
            nearest_distance=float(verdict["nearest_distance"]),
            caption=f"{painted_id}: {row['label_pixels']} px on {row['background']}{self._company(number)}",
            accepted=bool(verdict["accepted"]),
            reason=str(verdict["reason"]),
        )

    def _company(self, number: int) -> str:
        """Say what is painted beside a fire."""
        beside = self.plan.beside
        if beside is None:
            return ""
        planes = {"smoke": beside.plumes[number], "a scar": beside.scars[number]}
        return "".join(f", {name}" for name, plane in planes.items() if plane.any())

    def accepted(self) -> list[int]:
        """Return the accepted patches by their numbers."""
        rows = self.judged.rows
        return [int(number) for number in rows.index[rows["accepted"]]]

    def texture_distance(self) -> TextureDistance | None:
        """Compare the accepted patches with the real fires of the train part."""
        train = self.fold.train
        painted = ((self.synthetic.read(number), self.plan.labels[number]) for number in self.accepted())
        real = (train.read(patch_id) for patch_id in train.statistics.fire)
        return texture_distance(painted, ((patch.bands, patch.label & ~patch.ignore) for patch in real))

    def fingerprints(self, dilation: int) -> Mapping[str, Fingerprint]:
        """Tell accepted patches from real ones by their finest structure, `outside` and `inside` the edit masks.

        Outside, the ground around a mask is held to the same ground before it was painted on; inside, paint to the real
        fires of the train part, as far around their labels as paint reaches. Empty where too few are large enough.
        """
        found = {
            "outside": fingerprint(self._beside(after=True), self._beside(after=False)),
            "inside": fingerprint(self._painted(), self._real(dilation)),
        }
        return {name: one for name, one in found.items() if one is not None}

    def _beside(self, after: bool) -> Iterator[Region]:
        for number in self.accepted():
            edit, background = self.plan.edits[number], self.plan.rows["background"].iloc[number]
            ground = self.fold.train.read(background)
            bands = self.synthetic.read(number) if after else ground.bands
            yield Region(bands, dilated(edit, _RING) & ~edit & ~ground.ignore, background)

    def _painted(self) -> Iterator[Region]:
        for number in self.accepted():
            mask = self.plan.rows["mask"].iloc[number]
            yield Region(self.synthetic.read(number), self.plan.edits[number], mask)

    def _real(self, dilation: int) -> Iterator[Region]:
        for patch_id in self.fold.train.statistics.fire:
            patch = self.fold.train.read(patch_id)
            yield Region(patch.bands, dilated(patch.label & ~patch.ignore, dilation) & ~patch.ignore, patch_id)
