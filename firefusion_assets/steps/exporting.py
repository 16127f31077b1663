"""A config's training data in the thesis' layout."""

from collections.abc import Callable
from pathlib import Path

from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import read_replicates
from firefusion_assets.patchstore import Patches
from firefusion_assets.patchstore.export import export
from firefusion_assets.steps.augmenting import OVERLAY


def export_config(lineage: Lineage, key: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Write the patches that a config trains, validates and tests with.

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
