"""LMDB stores of patches: a base with the real ones, overlays with what a config adds. No Dagster here."""

from firefusion_assets.patchstore.part import LeakError, PatchPart
from firefusion_assets.patchstore.reader import Patches, PatchStoreError
from firefusion_assets.patchstore.records import Patch, PatchBatch, StoreMeta
from firefusion_assets.patchstore.writer import PatchWriter

__all__ = ["LeakError", "Patch", "PatchBatch", "PatchPart", "PatchStoreError", "PatchWriter", "Patches", "StoreMeta"]
