"""A config's data in the forms that other programs read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import OVERLAY, read_replicates
from firefusion_assets.patchstore import Patches
from firefusion_assets.patchstore.export import export
from firefusion_assets.steps.coco_export import export_coco
from firefusion_assets.steps.gis_export import export_gis

Export = Callable[[Lineage, str, Path, Callable[[str], None]], None]
"""Takes the study's lineage, a config's key, a new or empty folder, and what is called with how much is where."""


def export_thesis(lineage: Lineage, key: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Write the patches that a config trains, validates and tests with, in the thesis' layout.

    Args:
        lineage: of the study.
        key: of the config.
        folder: a new or empty one; gets a folder for each fold and replicate if the study has several.
        progress: called with how many patches are where.

    Raises:
        MissingUpstreamError: if the config's overlay was not made.
        RequestError: with all that the layout can't hold, or if the folder isn't empty.
        OSError: if the disk has no room or fails.
    """
    overlay = lineage.find("augmented_lmdb", key).path / OVERLAY
    several = lineage.study.split.folds > 1 or lineage.study.replicates.count > 1
    for replicate in read_replicates(lineage, key):
        fold, target = replicate.fold, folder / replicate.folder if several else folder
        patches = Patches(fold.base, [overlay], fold.number, replicate.number)
        train = [*fold.train.ids, *patches.added_ids]
        export(patches, {"train": train, "val": fold.val.ids, "test": fold.test.ids}, target)
        progress(f"{target}: {len(train)} train, {len(fold.val)} val and {len(fold.test)} test patches")


FORMS: Final[Mapping[str, Export]] = {"thesis": export_thesis, "gis": export_gis, "coco": export_coco}
"""What writes each form."""
