"""What a source is: `dataset` of study.yaml, and everything that the lineage asks of where patches come from.

Light to import: a method that lists files imports what it needs when it is called.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.study.part import Part

PICTURES_ALONE: Final = {"composite"}
"""Settings of a source that no patch depends on."""


class Licence(NamedTuple):
    """What data may be used under.

    Attributes:
        front: the entries `license`, `license_name`, `license_link` of a card.
        words: a sentence.
    """

    front: dict[str, Any]
    words: str


@dataclass(frozen=True, kw_only=True)
class Listing(ABC):
    """What a source finds; `ingest` knows a listing of patches (`SourceListing`) and one of products.

    Attributes:
        problems: one line for each file that is no input.
        raw_input: sorted (path, bytes, stamp) of every file, for the fingerprint.
        moves: a folder that may be elsewhere tomorrow, with "/": the table of patches names the files in it without it.
    """

    problems: list[str] = field(default_factory=list)
    raw_input: list[tuple[str, int, int]] = field(default_factory=list)
    moves: str = ""

    @abstractmethod
    def found(self) -> str:
        """Return how much was found, in words."""


class Source(Part):
    """Where patches come from: each source lists its inputs; reading and checking them is the same for all."""

    group: ClassVar[str] = "firefusion.sources"
    named_by: ClassVar[str] = "source"
    landsat: ClassVar[bool] = False
    """Whether pixels are DN of Landsat 8 and 9, which fire detectors and the tests for cloud and water are made for."""
    simulated: ClassVar[bool] = False
    """Whether the scenes are no real ones."""
    labels_are: ClassVar[str] = "the annotations that came with the images"
    """What the labels are, as cards of shared models say it."""
    licence: ClassVar[Licence] = Licence(
        {"license": "unknown"},
        "The licence of the images is not known to FireFusion: find it out and say it here before you share them.",
    )
    """What the images may be used under."""

    source: str
    """Where patches come from."""
    patch_size: int = Field(256, ge=8, le=4096)
    """Height and width of a patch in px."""
    bands: tuple[str, ...] = Field(FILE_BANDS, min_length=1)
    """The bands kept in the store, by name, in this order."""
    composite: tuple[str, ...] | None = None
    """The bands that pictures show as red, green and blue, or one in grey; by default 7-6-2 of Landsat, else the first
    of `training.bands`. What is made already keeps its pictures."""
    on_bad_input: Literal["fail", "skip"] = "fail"
    """What to do when files can't be used: stop with the list, or go on without them."""
    sun_elevation: float | None = Field(None, gt=0, le=90)
    """Degrees above the horizon for every scene; without it, what a product's metadata says, else computed from date
    and place where both are known."""

    @field_validator("bands")
    @classmethod
    def _bands_are_named_once(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(bands)) < len(bands):
            raise ValueError("each band may be named once")
        return bands

    @model_validator(mode="after")
    def _pictures_can_be_made(self) -> Self:
        if self.composite is not None:
            if len(self.composite) not in (1, 3):
                raise ValueError("composite: takes three bands, or one")
            if missing := [band for band in self.composite if band not in self.bands]:
                raise ValueError(f"composite: {', '.join(missing)} not among bands, which are {', '.join(self.bands)}")
        return self

    @property
    def image_bands(self) -> tuple[str, ...]:
        """The bands of an image file, in file order."""
        return self.bands

    def cautions(self) -> Iterable[str]:
        """Say what every report on these data has to warn of."""
        return ()

    @abstractmethod
    def listing(self, folder: Path) -> Listing:
        """List all inputs and what can't be used; no image is opened yet.

        Args:
            folder: the study folder, which paths are relative to; for a source that makes its files, theirs.

        Raises:
            FileNotFoundError: if a folder, zip, product or table is missing or empty.
            ValueError: if a table can't be read.
        """


class MadeSource(Source):
    """A source that makes its files itself; `listing` is given their folder."""

    made: ClassVar[int]
    """Version of `make`: raise it when it makes other files."""

    def made_from(self) -> Mapping[str, Any]:
        """Return what the files that `make` writes depend on, as JSON."""
        return self.model_dump(mode="json", exclude=PICTURES_ALONE)

    @abstractmethod
    def make(self, folder: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
        """Write the files that `listing` finds into a new folder and return facts."""


class LandsatSource(Source):
    """A source whose files hold some of the bands of Landsat 8 and 9."""

    landsat: ClassVar[bool] = True

    @field_validator("bands")
    @classmethod
    def _bands_are_landsats(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [band for band in bands if band not in FILE_BANDS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} not in a patch file; it holds {', '.join(FILE_BANDS)}")
        return bands
