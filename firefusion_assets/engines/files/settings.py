"""Settings of engine `files`, and what the lineage asks of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from firefusion_assets.engines.shared_settings import Composite, missing_bands
from firefusion_assets.landsat.bands import FALSE_COLOUR
from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Engine, Painter, Run
from firefusion_assets.study.models import Study
from firefusion_assets.study.strict import InStudy

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.patchstore import PatchPart


class FilesGenerator(Engine):
    """Images painted elsewhere, for example in a web UI, are taken in."""

    engine: Literal["files"]
    """Which generator paints."""
    images: Annotated[str, InStudy]
    """Folder of the painted images, relative to the study folder: RGB as PNG of 8 bit or TIFF of 8 or 16 bit, square,
    a patch high or a whole multiple of that. A row is found by how a name starts: as handed out (`row-000012`) or
    `<background>-<mask>`."""
    table: Annotated[str, InStudy] | None = None
    """CSV with columns row (number in the plan) and image (name in `images`), which then decides instead of names;
    images that it leaves out are not used."""
    composite: Composite = FALSE_COLOUR
    """Bands that red, green and blue of an image stand for."""
    companion_bands: Literal["background", "regressed"] = "regressed"
    """The other bands inside a painted label: the background's, or predicted from the composite."""

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say which bands are missing, and what doesn't go with images that may be missing or fit one plan only."""
        yield from missing_bands(self.composite, study)
        if study.split.folds > 1:
            yield "generator.engine: files are painted for the plan of one fold; set split.folds to 1"
        if not config.screening.min_changed:
            yield "screening.min_changed: 0 would accept rows of the plan that have no image; raise it"

    def resolved(self, folder: Path) -> Self:
        """Return the settings with absolute paths."""
        paths = {"images": self.images, "table": self.table}
        return self.model_copy(update={name: path and str((folder / path).resolve()) for name, path in paths.items()})

    def problems(self, sampling: Sampling, fitting: bool) -> Iterator[str]:
        """Say so where folder or table are missing or empty."""
        from firefusion_assets.engines.files.images import listing

        try:
            listing(Path(self.images), Path(self.table) if self.table else None)
        except ValueError as error:
            yield f"generator.images: {error}"

    def fingerprint_part(self, folder: Path, hash_folder: Callable[[Path], str]) -> Any:
        """Return the settings with names, sizes and modification times of the files."""
        paths = [self.images, *filter(None, [self.table])]
        return [self.model_dump(mode="json"), [_stamps(folder / path) for path in paths]]

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Check all images and take them in; see `fitting.fit`."""
        from firefusion_assets.engines.files.fitting import fit

        return fit(self, train, work, run.progress)

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> Painter:
        """Return the painter that finds its images by the plan's rows.

        Raises:
            ValueError: without rows, or if images don't fit them.
        """
        from firefusion_assets.engines.files.painter import FilesPainter

        if rows is None:
            raise ValueError("engine `files` needs the plan's rows to find its images by")
        return FilesPainter(folder, rows)

    def bit_depths(self, folder: Path, rows: "pd.DataFrame") -> list[int]:
        """Return how many bits a band of each row's image had; 16 for a row without an image.

        Raises:
            ValueError: if images don't fit the plan.
        """
        from firefusion_assets.engines.files.painter import FilesPainter

        return FilesPainter(folder, rows).bit_depths(rows)

    def sheet_sampling(self) -> None:
        """Return None: the images are there to be looked at."""

    def shown_bands(self) -> tuple[str, ...]:
        """Return the composite."""
        return self.composite


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of a file, or of a folder's files."""
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    return [(file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
