"""Names of level-1 products and of their files, before and since collections.

Since collections: ``LC08_L1TP_193029_20200914_20200920_01_T1``. Before: ``LC80200392015216LGN00`` (sensor, path and
row, year and day of the year, ground station, version). A product's files are named after it: ``..._B7.TIF``.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Final, Self

from firefusion_assets.landsat.names import PatchName

SPACECRAFT: Final = {"08": "LANDSAT_8", "09": "LANDSAT_9"}
"""The spacecraft whose bands are those of `FILE_BANDS`, by its number in a name, as the MTL calls it."""

TAR_ENDINGS: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.bz")

_SINCE_COLLECTIONS = re.compile(
    r"(?P<instrument>L[A-Z])(?P<spacecraft>\d{2})_(?P<level>L\d[A-Z]{2})_(?P<path>\d{3})(?P<row>\d{3})"
    r"_(?P<acquired>\d{8})_(?P<processed>\d{8})_(?P<collection>\d{2})_(?P<tier>RT|T\d)",
    re.ASCII,
)
_BEFORE_COLLECTIONS = re.compile(
    r"(?P<instrument>L[A-Z])(?P<spacecraft>\d)(?P<path>\d{3})(?P<row>\d{3})(?P<acquired>\d{7})[A-Z]{3}\d{2}", re.ASCII
)
_FILE = re.compile(
    r"(?P<product>[A-Z0-9_]+?)_(?P<role>(?:S[RT]_)?B\d+|BQA|QA_PIXEL|QA_RADSAT|MTL)\.(?P<ending>TIFF?|TXT|JSON)",
    re.ASCII | re.IGNORECASE,
)


class ProductError(ValueError):
    """A product that can't be used.

    Args:
        problems: one line each, with the file and the remedy.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))

    def __reduce__(self) -> tuple[type[Self], tuple[list[str]]]:
        """Travel between processes with the list, which the message alone doesn't give back."""
        return type(self), (self.problems,)


class Generation(Enum):
    """What decides the names of a product's quality bands and the meaning of their bits."""

    BEFORE_COLLECTIONS = "before collections"
    COLLECTION_1 = "01"
    COLLECTION_2 = "02"


@dataclass(frozen=True)
class ProductId:
    """A level-1 product of Landsat 8 or 9.

    Attributes:
        text: the name that its files begin with.
        generation: which rules the product follows.
        scene: the name of its patches but for their numbers, as a patch; before collections it is
            ``LC08_L1TP_PPPRRR_date_date_01_T1``, since such a name tells neither level, nor tier, nor processing.
    """

    text: str
    generation: Generation
    scene: PatchName

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a product's name.

        Raises:
            ProductError: with what is wrong and what to fetch instead.
        """
        text = text.upper()
        match = _SINCE_COLLECTIONS.fullmatch(text) or _BEFORE_COLLECTIONS.fullmatch(text)
        if match is None:
            raise ProductError(
                [
                    f"{text!r} is no product's name; expected for example LC08_L1TP_193029_20200914_20200920_02_T1 "
                    "or LC80200392015216LGN00: give it the name it was downloaded under"
                ]
            )
        fields = match.groupdict()
        spacecraft, since = fields["spacecraft"].zfill(2), "collection" in fields
        if spacecraft not in SPACECRAFT:
            raise ProductError([f"{text} is of Landsat {int(spacecraft)}, whose bands differ; use Landsat 8 or 9"])
        if since and not fields["level"].startswith("L1"):
            level_1 = re.sub("_L2.._", "_L1TP_", text)
            raise ProductError(
                [
                    f"{text} is of level {fields['level']}: surface reflectance and temperature are other quantities "
                    f"than level-1 DN; fetch the level-1 product of the same pass ({level_1} or a near name)"
                ]
            )
        if since and fields["collection"] not in {"01", "02"}:
            raise ProductError([f"{text} is of collection {fields['collection']}; fetch it from Collection 1 or 2"])
        try:
            acquired = datetime.strptime(fields["acquired"], "%Y%m%d" if since else "%Y%j").date()
            if not since and acquired.year != int(fields["acquired"][:4]):  # strptime turns day 366 into New Year
                raise ValueError(f"{fields['acquired'][:4]} has no day 366")
            processed = datetime.strptime(fields["processed"], "%Y%m%d").date() if since else acquired
        except ValueError as error:
            raise ProductError([f"{text} holds a date that does not exist ({error}); correct the name"]) from error
        scene = PatchName(
            sensor=fields["instrument"] + spacecraft,
            level=fields.get("level", "L1TP"),
            path=int(fields["path"]),
            row=int(fields["row"]),
            acquired=acquired,
            processed=processed,
            collection=fields.get("collection", "01"),
            tier=fields.get("tier", "T1"),
            number="00000",
        )
        generation = Generation(fields["collection"]) if since else Generation.BEFORE_COLLECTIONS
        return cls(text, generation, scene)

    @property
    def path(self) -> int:
        """WRS-2 path."""
        return self.scene.path

    @property
    def row(self) -> int:
        """WRS-2 row."""
        return self.scene.row

    @property
    def acquired(self) -> date:
        """Day of the pass."""
        return self.scene.acquired

    @property
    def spacecraft(self) -> str:
        """``LANDSAT_8`` or ``LANDSAT_9``."""
        return SPACECRAFT[self.scene.sensor[2:]]

    def __str__(self) -> str:
        return self.text


def file_role(name: str) -> tuple[str, str] | None:
    """Return the product and the role that a file name states, or None if it is no band, quality band or MTL.

    Roles are ``B7``, ``BQA``, ``QA_PIXEL``, ``QA_RADSAT``, ``MTL.TXT``, ``MTL.JSON``; ``SR_B7`` in level 2.
    """
    match = _FILE.fullmatch(name)
    if match is None:
        return None
    role, ending = match["role"].upper(), match["ending"].upper()
    if (role == "MTL") == ending.startswith("TIF"):
        return None
    return match["product"].upper(), f"MTL.{ending}" if role == "MTL" else role


def without_tar_ending(name: str) -> str | None:
    """Return the name of a tar without its ending, or None if it is no tar's name."""
    endings = [ending for ending in TAR_ENDINGS if name.lower().endswith(ending)]
    return name[: -len(endings[0])] if endings else None
