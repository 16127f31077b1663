"""What the lineage asks of engines `more-real` and `weak`: nothing is painted, held-back patches are added."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from firefusion_assets.core.errors import RequestError
from firefusion_assets.engines.unpainted import Unpainted
from firefusion_assets.landsat.detectors import DETECTOR_BANDS, SUNLESS_DETECTORS, detect
from firefusion_assets.study.augmentation import Augmentation
from firefusion_assets.study.models import Study

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import Patch, PatchPart


class MoreRealGenerator(Unpainted):
    """Real fires that the study holds back are added with their labels: what annotating them would have bought."""

    engine: Literal["more-real"]
    """Which generator paints."""
    patches: int = Field(ge=1)
    """Held-back burning patches to add, in each fold: the next ones that `split.train_fire_patches` would keep."""

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say so where the study holds nothing back."""
        if study.split.train_fire_patches is None:
            yield (
                f"generator.engine: {self.engine} adds patches that the study holds back, and it holds none back; "
                "set split.train_fire_patches"
            )

    def real_patches(self, held_back: "PatchPart", table: "pd.DataFrame") -> "Iterator[tuple[str, Patch]]":
        """Yield the first held-back patches; see `Engine.real_patches`."""
        if len(held_back) < self.patches:
            raise RequestError(
                f"generator.patches: {self.patches}, but a fold holds back {len(held_back)} burning patches; lower it, "
                "or split.train_fire_patches"
            )
        for patch_id in held_back.ids[: self.patches]:
            yield patch_id, self.labelled(held_back.read(patch_id), held_back.meta.bands, table.loc[patch_id])

    def labelled(self, patch: "Patch", bands: tuple[str, ...], row: "pd.Series") -> "Patch":
        """Return the patch with the label that is learned.

        Args:
            patch: as it is, annotated.
            bands: names of its bands.
            row: of the table of patches.
        """
        return patch


class WeakGenerator(MoreRealGenerator):
    """The same patches with a fire detector's labels: what they are worth while nobody has annotated them."""

    engine: Literal["weak"]  # type: ignore[assignment]  # another name is what makes it another engine
    """Which generator paints."""
    labels: Literal["voting", "intersection", "schroeder", "murphy", "kumar-roy"] = "voting"
    """Whose labels they are."""

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say so where the study holds nothing back, or the detector lacks bands or the sun."""
        yield from super().misfits(study, config)
        missing = [band for band in DETECTOR_BANDS[self.labels] if band not in study.dataset.bands]
        if not study.dataset.landsat:
            yield "generator.engine: weak knows fire in DN of Landsat only; use another engine for other images"
        elif missing:
            yield f"generator.labels: {self.labels} needs {', '.join(missing)}; add them to dataset.bands"

    def labelled(self, patch: "Patch", bands: tuple[str, ...], row: "pd.Series") -> "Patch":
        """Return the patch as the detector labels it."""
        sun = float(row["sun_elevation"])
        if np.isnan(sun) and self.labels not in SUNLESS_DETECTORS:
            raise RequestError(
                f"generator.labels: {self.labels} needs the sun's elevation, which {row.name} has none of; set "
                "dataset.sun_elevation, or labels: schroeder"
            )
        named = dict(zip(bands, patch.bands, strict=True))
        found = detect([self.labels], named, None if np.isnan(sun) else sun)[self.labels]
        return patch._replace(label=found & ~patch.ignore)
