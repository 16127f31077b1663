"""One part of one fold: the only way by which anything that is fitted reads patches."""

from collections.abc import Sequence
from pathlib import Path

from firefusion_assets.patchstore.reader import Patches
from firefusion_assets.patchstore.records import Patch, StoreMeta


class LeakError(RuntimeError):
    """Something that is fitted on the train part asked for a patch outside it."""


class PatchPart:
    """The patches of one part (train, val or test) of one fold; reading any other patch is an error.

    Args:
        patches: the store.
        ids: the part's patches.
    """

    def __init__(self, patches: Patches, ids: Sequence[str]) -> None:
        self._patches = patches
        self._allowed = frozenset(ids)
        self.ids = list(ids)

    @property
    def meta(self) -> StoreMeta:
        """What the records have in common."""
        return self._patches.meta

    @property
    def store(self) -> Path:
        """Folder of the base store."""
        return self._patches.path

    def read(self, patch_id: str) -> Patch:
        """Return one patch of the part.

        Raises:
            LeakError: if the patch belongs to another part.
        """
        if patch_id not in self._allowed:
            raise LeakError(f"patch {patch_id!r} is not in this part of the split; nothing may be fitted on it")
        return self._patches.read(patch_id)

    def __len__(self) -> int:
        return len(self.ids)
