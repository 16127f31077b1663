"""What a source gives: the inputs that belong together, and what it could not make sense of."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from firefusion_assets.core.errors import UserError, gathered
from firefusion_assets.core.folders import some_of
from firefusion_assets.ingest.sources.raster_files import RasterFile
from firefusion_assets.study.source import Listing


class BadInputError(UserError, ValueError):
    """Raw input that can't be used. The message lists every bad file with its remedy.

    Args:
        problems: one line each.
        skipped: whether the study goes on without bad files, but nothing else is left.
        remedy: what to do, where it is not about single files.
    """

    def __init__(self, problems: list[str], skipped: bool = False, remedy: str = "") -> None:
        self.problems = problems
        lines = gathered(problems)
        shown = lines[:200]
        more = [f"... and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else []
        if skipped:
            remedy = "Nothing is left without these files: repair them, or add others."
        remedy = remedy or "Repair or remove these files, or set dataset.on_bad_input: skip to go on without them."
        super().__init__("\n".join([f"{len(problems)} problems in the raw input:", *shown, *more, remedy]))


@dataclass(frozen=True, kw_only=True)
class PatchOrigin:
    """What a patch is called and what it belongs to.

    Attributes:
        patch_id: its name in the store.
        scene: the scene it was cut from.
        group: given by the source, or None where it follows from path and row.
        path: WRS-2 path, or None.
        row: WRS-2 row, or None.
        acquired: day of the pass, or None.
    """

    patch_id: str
    scene: str
    group: str | None = None
    path: int | None = None
    row: int | None = None
    acquired: date | None = None


@dataclass(frozen=True, kw_only=True)
class PatchInput(PatchOrigin):
    """One patch as it lies in the raw input.

    Attributes:
        image: its bands.
        mask: its label; None where nothing is annotated.
    """

    image: RasterFile
    mask: RasterFile | None


@dataclass(frozen=True, kw_only=True)
class SourceListing(Listing):
    """All patches of a source.

    Attributes:
        inputs: patches, sorted by id.
        file_bands: band names in file order.
        without_mask: images whose mask was looked for and isn't there: they count as event-free.
        unread: files that nothing reads.
        mask_ignore: a mask's value that means unknown.
    """

    inputs: list[PatchInput]
    file_bands: tuple[str, ...]
    without_mask: int = 0
    unread: list[str] = field(default_factory=list)
    mask_ignore: int | None = None

    def found(self) -> str:
        """Return how many patches there are, and what is left out."""
        unlabelled = sum(patch.mask is None for patch in self.inputs)
        count = f"{len(self.inputs)} patches, {unlabelled} of them without a mask"
        if self.unread:
            count += f"; {len(self.unread)} files are no GeoTIFF and not read: {some_of(self.unread)}"
        return count


def below(study_folder: Path, path: Path) -> Path:
    """Return a path of study.yaml, which is relative to the study folder."""
    return (study_folder / path).resolve()
