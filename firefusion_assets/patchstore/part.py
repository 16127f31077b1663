"""One part of one fold: the only way by which anything that is fitted reads patches."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from firefusion_assets.core.errors import UserError
from firefusion_assets.patchstore.reader import Patches
from firefusion_assets.patchstore.records import Patch, PatchBatch, StoreMeta
from firefusion_assets.patchstore.statistics import PartStatistics, hash_of, measure


class LeakError(UserError, RuntimeError):
    """Something that is fitted on the train part asked for a patch outside it."""


class PatchPart:
    """The patches of one part (train, val or test) of one fold; reading any other patch is an error.

    Args:
        patches: the store.
        ids: the part's patches.
        keep: the file with the part's statistics, or what returns it and writes it if there is none yet; without it
            they are measured when they are first asked for.
    """

    def __init__(
        self, patches: Patches, ids: Sequence[str], keep: Callable[["PatchPart"], Path] | Path | None = None
    ) -> None:
        self._patches = patches
        self._allowed = frozenset(ids)
        self._keep = keep
        self.ids = list(ids)

    @property
    def meta(self) -> StoreMeta:
        """What the records have in common."""
        return self._patches.meta

    @property
    def store(self) -> Path:
        """Folder of the base store."""
        return self._patches.path

    @cached_property
    def statistics_file(self) -> Path | None:
        """File with the part's statistics, for processes that open the part again; None where nothing keeps them."""
        return self._keep(self) if callable(self._keep) else self._keep

    @cached_property
    def statistics(self) -> PartStatistics:
        """What one pass over the part tells.

        Raises:
            LeakError: if the kept statistics are those of another part.
        """
        file = self.statistics_file
        if file is None:
            return measure(self)
        statistics = PartStatistics.model_validate_json(file.read_text())
        if (statistics.ids_hash, statistics.bands) != (hash_of(self.ids), self.meta.bands):
            raise LeakError(f"{file} holds the statistics of another part; nothing may be fitted on them")
        return statistics

    def read(self, patch_id: str) -> Patch:
        """Return one patch of the part.

        Raises:
            LeakError: if the patch belongs to another part.
        """
        self._check([patch_id])
        return self._patches.read(patch_id)

    def read_batch(
        self,
        ids: Sequence[str],
        rows: Sequence[int] | None = None,
        turns: Sequence[int] | None = None,
    ) -> PatchBatch:
        """Return several patches of the part in one array each; see `Patches.read_batch`.

        Raises:
            LeakError: if one of the patches belongs to another part.
        """
        self._check(ids)
        return self._patches.read_batch(ids, rows, turns)

    def only(self, ids: Sequence[str]) -> "PatchPart":
        """Return a smaller part, with statistics of its own.

        Raises:
            LeakError: if one of the patches belongs to another part.
        """
        self._check(ids)
        return PatchPart(self._patches, ids)

    def __len__(self) -> int:
        return len(self.ids)

    def _check(self, ids: Sequence[str]) -> None:
        for patch_id in ids:
            if patch_id not in self._allowed:
                raise LeakError(f"patch {patch_id!r} is not in this part of the split; nothing may be fitted on it")
