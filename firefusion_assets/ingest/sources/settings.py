"""The sources that come with the project: the models behind `dataset` of study.yaml. Each field says what it is."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, model_validator

from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.simulation.settings import SimulationSettings
from firefusion_assets.study.source import LandsatSource, Licence, MadeSource, Source
from firefusion_assets.study.strict import InStudy, StrictModel

if TYPE_CHECKING:
    from firefusion_assets.ingest.sources.patch_inputs import SourceListing
    from firefusion_assets.ingest.sources.products import ProductListing

MissingMask = Literal["event-free", "fail"]


class ActiveFireDataset(LandsatSource):
    """The active fire data set, or patches in its layout."""

    labels_are: ClassVar[str] = "labels of the active fire data set"
    licence: ClassVar[Licence] = Licence(
        {"license": "cc-by-4.0"},
        "The patches are from the active fire data set of de Almeida Pereira et al. (2021, "
        "https://github.com/pereira-gha/activefire), CC BY 4.0; name it wherever its pixels go.",
    )

    source: Literal["activefire"]
    """Patches and masks named as in the active fire data set."""
    images: Annotated[Path, InStudy]
    """Folder of the patches, or the zip as downloaded; relative to the study folder."""
    masks: Annotated[Path, InStudy]
    """Folder of the masks, or the zip as downloaded; relative to the study folder."""
    missing_mask: MissingMask = "event-free"
    """What an image without a mask is: a patch without an event, or a problem."""
    mask_ignore: int | None = None
    """A mask's value that means unknown, for example 255."""
    mask_label: str = "v1"
    """Which masks are the truth: v1 (manual), Voting, Intersection, Schroeder, Murphy, Kumar-Roy, ..."""

    @property
    def image_bands(self) -> tuple[str, ...]:
        """All ten bands of the data set's files."""
        return FILE_BANDS

    def listing(self, folder: Path) -> "SourceListing":
        """Pair patches and masks by their names."""
        from firefusion_assets.ingest.sources.activefire import list_activefire
        from firefusion_assets.ingest.sources.patch_inputs import below

        images, masks = below(folder, self.images), below(folder, self.masks)
        return list_activefire(images, masks, self.mask_label, self.missing_mask, self.mask_ignore)


class LandsatDataset(LandsatSource):
    """Whole level-1 products of Landsat 8 and 9, labelled by a detector."""

    labels_are: ClassVar[str] = "labels made by published detectors, not by people"
    licence: ClassVar[Licence] = Licence(
        {
            "license": "other",
            "license_name": "landsat-public-domain",
            "license_link": "https://www.usgs.gov/faqs/are-there-any-restrictions-use-or-redistribution-landsat-data",
        },
        "Landsat products are in the public domain (courtesy of the U.S. Geological Survey).",
    )

    source: Literal["landsat"]
    """Products as downloaded, of Collection 2, Collection 1 and before collections."""
    products: Annotated[Path, InStudy]
    """Folder that holds product folders or tars, at any depth, or one tar; relative to the study folder."""
    labels: Literal["voting", "intersection", "schroeder", "murphy", "kumar-roy"] = "voting"
    """Who says where fire is: one detector, where all three agree (intersection) or at least two do (voting)."""

    def cautions(self) -> Iterator[str]:
        """Say who labelled."""
        yield (
            f"The labels are made by detectors ({self.labels}), not by people: these figures say how "
            "well the detectors are imitated, with their faults."
        )

    def listing(self, folder: Path) -> "ProductListing":
        """List the products."""
        from firefusion_assets.ingest.sources.products import list_products

        return list_products(self, folder)


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

    table: Annotated[Path, InStudy] | None = None
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

    table: Annotated[Path, InStudy] | None = None
    """CSV with columns image and group."""
    pattern: Annotated[str, _named("group")] | None = None
    """Regular expression of an image's file name, with a group (?P<group>...)."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.table is None) == (self.pattern is None):
            raise ValueError("groups: give either `table` or `pattern`")
        return self


class FolderDataset(Source):
    """Pairs of image and mask, GeoTIFF or PNG, of any names, bands and integer type."""

    labels_are: ClassVar[str] = "labels that came with the images"

    source: Literal["folder"]
    """Your own images and masks, GeoTIFF or PNG."""
    images: Annotated[Path, InStudy]
    """Folder of the images; relative to the study folder."""
    masks: Annotated[Path, InStudy]
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

    @property
    def image_bands(self) -> tuple[str, ...]:
        """The bands that the study names for its files."""
        return self.file_bands or self.bands

    def listing(self, folder: Path) -> "SourceListing":
        """Pair images and masks by a table or by patterns."""
        from firefusion_assets.ingest.sources.folder import list_folder

        return list_folder(self, folder)


class SimulatedDataset(SimulationSettings, MadeSource):
    """Simulated scenes, written and read as the active fire data set's patches are."""

    simulated: ClassVar[bool] = True
    made: ClassVar[int] = 1
    labels_are: ClassVar[str] = "labels of the simulation: these scenes say nothing about real fires"
    licence: ClassVar[Licence] = Licence(
        {"license": "apache-2.0"}, "The scenes are simulated by FireFusion, Apache-2.0."
    )

    source: Literal["simulated"]
    """Scenes made by the simulation, for trying things out."""

    def cautions(self) -> Iterator[str]:
        """Say that nothing is real."""
        yield (
            "These figures come from simulated scenes; they show that the pipeline works and say nothing "
            "about real fires."
        )

    def made_from(self) -> dict[str, Any]:
        """Return all that the scenes depend on."""
        return self.model_dump(mode="json", include={"scenes", "patches_per_scene", "patch_size", "fire_share", "seed"})

    def make(self, folder: Path, progress: Callable[[str], None]) -> Mapping[str, Any]:
        """Simulate the scenes."""
        from firefusion_assets.simulation.simulate import simulate

        simulate(self, folder, progress)
        return {"n_scenes": self.scenes}

    def listing(self, folder: Path) -> "SourceListing":
        """Pair patches and masks by their names."""
        from firefusion_assets.ingest.sources.activefire import list_activefire
        from firefusion_assets.simulation.simulate import IMAGES, MASK_LABEL, MASKS

        return list_activefire(folder / IMAGES, folder / MASKS, MASK_LABEL, "event-free", None)
