"""What a finished object of a store is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ObjectId = tuple[str, str]
"""Asset and fingerprint of an object."""


@dataclass(frozen=True)
class Artifact:
    """A finished object.

    Attributes:
        asset: name of the asset.
        fingerprint: what the object was made from.
        folder: where its files are, or will be once `path` is asked for.
        facts: what its maker said about it (JSON values).
        cost: seconds, memory and the like; not part of what makes two objects equal.
        uses: the objects that it was made from; None if it was made before manifests recorded that.
        settings: the settings (JSON values) that it was made from; None likewise.
        size: bytes of its files.
        fetch: brings the files to the folder where they may be elsewhere; None if they are in it.
    """

    asset: str
    fingerprint: str
    folder: Path
    facts: Mapping[str, Any]
    cost: Mapping[str, float]
    uses: tuple[ObjectId, ...] | None = None
    settings: Any = None
    size: int = 0
    fetch: Callable[["Artifact"], None] | None = field(default=None, repr=False, compare=False)

    @property
    def path(self) -> Path:
        """Its folder, with all of its files."""
        if self.fetch is not None:
            self.fetch(self)
        return self.folder
