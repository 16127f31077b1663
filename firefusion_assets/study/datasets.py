"""The models behind `dataset` of study.yaml: where patches come from. Each field says what it is."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.study.strict import StrictModel

MissingMask = Literal["event-free", "fail"]


class _Dataset(StrictModel):
    patch_size: int = Field(256, ge=8, le=4096)
    """Height and width of a patch in px."""
    bands: tuple[str, ...] = Field(FILE_BANDS, min_length=1)
    """The bands kept in the store, by name, in this order."""
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


class _LandsatDataset(_Dataset):
    @field_validator("bands")
    @classmethod
    def _bands_are_landsats(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [band for band in bands if band not in FILE_BANDS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} not in a patch file; it holds {', '.join(FILE_BANDS)}")
        return bands


class ActiveFireDataset(_LandsatDataset):
    """The active fire data set, or patches in its layout."""

    source: Literal["activefire"]
    """Patches and masks named as in the active fire data set."""
    images: Path
    """Folder of the patches, or the zip as downloaded; relative to the study folder."""
    masks: Path
    """Folder of the masks, or the zip as downloaded; relative to the study folder."""
    missing_mask: MissingMask = "event-free"
    """What an image without a mask is: a patch without an event, or a problem."""
    mask_ignore: int | None = None
    """A mask's value that means unknown, for example 255."""
    mask_label: str = "v1"
    """Which masks are the truth: v1 (manual), Voting, Intersection, Schroeder, Murphy, Kumar-Roy, ..."""


class LandsatDataset(_LandsatDataset):
    """Whole level-1 products of Landsat 8 and 9, labelled by a detector."""

    source: Literal["landsat"]
    """Products as downloaded, of Collection 2, Collection 1 and before collections."""
    products: Path
    """Folder that holds product folders or tars, at any depth, or one tar; relative to the study folder."""
    labels: Literal["voting", "intersection", "schroeder", "murphy", "kumar-roy"] = "voting"
    """Who says where fire is: one detector, where all three agree (intersection) or at least two do (voting)."""


def _named(group: str) -> AfterValidator:
    """Return a validator of regular expressions that have to hold a named group."""

    def check(pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if group not in groups:
            raise ValueError(f"holds no named group (?P<{group}>...)")
        return pattern

    return AfterValidator(check)


class Pairs(StrictModel):
    """Which image and mask belong together: a table, or two name patterns."""

    table: Path | None = None
    """CSV with columns image, mask (empty where there is no event) and, where it gives the groups too, group."""
    image: Annotated[str, _named("id")] | None = None
    """Regular expression of an image's file name, with a group (?P<id>...)."""
    mask: Annotated[str, _named("id")] | None = None
    """Regular expression of a mask's file name, with a group (?P<id>...)."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.table is None) == (self.image is None or self.mask is None):
            raise ValueError("pairs: give either `table`, or both patterns `image` and `mask`")
        return self


class Groups(StrictModel):
    """Which patches may show the same ground or event: a table, or a name pattern."""

    table: Path | None = None
    """CSV with columns image and group."""
    pattern: Annotated[str, _named("group")] | None = None
    """Regular expression of an image's file name, with a group (?P<group>...)."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.table is None) == (self.pattern is None):
            raise ValueError("groups: give either `table` or `pattern`")
        return self


class FolderDataset(_Dataset):
    """Pairs of image and mask, GeoTIFF or PNG, of any names, bands and integer type."""

    source: Literal["folder"]
    """Your own images and masks, GeoTIFF or PNG."""
    images: Path
    """Folder of the images; relative to the study folder."""
    masks: Path
    """Folder of the masks (0 = no event, any larger whole number = event); relative to the study folder."""
    missing_mask: MissingMask = "fail"
    """What an image without a mask is: a patch without an event, or a problem. A table says it with an empty cell."""
    mask_ignore: int | None = None
    """A mask's value that means unknown, for example 255."""
    file_bands: tuple[str, ...] = ()
    """Names of the bands in file order; by default the same as `bands`."""
    pairs: Pairs
    """Which image and mask belong together."""
    groups: Groups | None = None
    """Which patches must not be split; may be left out where the pairs table has a column `group`."""

    @model_validator(mode="after")
    def _bands_are_in_the_file(self) -> Self:
        missing = [band for band in self.bands if self.file_bands and band not in self.file_bands]
        if missing:
            raise ValueError(f"bands: {', '.join(missing)} not among file_bands")
        if self.groups is None and self.pairs.table is None:
            raise ValueError("groups: missing; say which patches may show the same ground (a table or a pattern)")
        return self


class SimulatedDataset(_LandsatDataset):
    """Simulated scenes, written and read as the active fire data set's patches are."""

    source: Literal["simulated"]
    """Scenes made by the simulation, for trying things out."""
    scenes: int = Field(12, ge=1, le=100)
    """Number of scenes."""
    patches_per_scene: int = Field(16, ge=1)
    """Patches cut from each scene."""
    fire_share: float = Field(0.4, ge=0, le=1)
    """Share of patches with a fire."""
    seed: int = 187
    """Seed of everything in the scenes."""


Dataset = Annotated[
    ActiveFireDataset | LandsatDataset | FolderDataset | SimulatedDataset, Field(discriminator="source")
]
