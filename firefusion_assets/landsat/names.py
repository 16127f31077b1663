"""File names of the active fire data set, read by their fields and never by position.

Image: ``LC08_L1TP_193029_20200914_20200914_01_RT_p00910.tif``
(sensor, level, path and row, acquired, processed, collection, tier, patch number).
Mask:  ``LC08_L1TP_193029_20200914_20200914_01_RT_Kumar-Roy_p00910.tif``: the same with a mask label before the number.
"""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Self

_PATTERN = re.compile(
    r"(?P<sensor>L[COTEM]\d{2})_(?P<level>L\d[A-Z]{2})_(?P<path>\d{3})(?P<row>\d{3})"
    r"_(?P<acquired>\d{8})_(?P<processed>\d{8})_(?P<collection>\d{2})_(?P<tier>RT|T\d)"
    r"(?:_(?P<label>[A-Za-z0-9][A-Za-z0-9_-]*?))?_p(?P<number>\d+)",
    re.ASCII,
)


class PatchNameError(ValueError):
    """A file name that isn't one of a Landsat level-1 patch."""


@dataclass(frozen=True)
class PatchName:
    """One patch of one scene; with a `label` the name of a mask of that patch.

    Attributes:
        sensor: spacecraft and instrument, ``LC08``.
        level: correction level, ``L1TP``, ``L1GT`` or ``L1GS``.
        path: WRS-2 path, 1 to 233.
        row: WRS-2 row, 1 to 248.
        acquired: day of the pass.
        processed: day of processing.
        collection: ``01`` or ``02``.
        tier: ``RT``, ``T1`` or ``T2``.
        number: the patch's number in the scene as it is written, with its leading zeros.
        label: None for an image; for a mask who made it, ``v1``, ``Murphy``, ``Kumar-Roy``, ``GOLI_v2``, ...
    """

    sensor: str
    level: str
    path: int
    row: int
    acquired: date
    processed: date
    collection: str
    tier: str
    number: str
    label: str | None = None

    @classmethod
    def parse(cls, stem: str) -> Self:
        """Read a file name without its ending.

        Raises:
            PatchNameError: with what is wrong and what the name should look like.
        """
        match = _PATTERN.fullmatch(stem)
        if match is None:
            raise PatchNameError(
                f"{stem!r} is not a patch name; expected SENSOR_LEVEL_PPPRRR_acquired_processed_collection_tier"
                "[_LABEL]_pNNNNN, for example LC08_L1TP_193029_20200914_20200914_01_RT_p00910"
            )
        fields = match.groupdict()
        if not fields["level"].startswith("L1"):
            raise PatchNameError(f"{stem!r} is of level {fields['level']}: level 2 is another quantity, use level 1")
        try:
            acquired, processed = (datetime.strptime(fields[key], "%Y%m%d").date() for key in ("acquired", "processed"))
        except ValueError as error:
            raise PatchNameError(f"{stem!r} holds a date that does not exist ({error})") from error
        return cls(
            sensor=fields["sensor"],
            level=fields["level"],
            path=int(fields["path"]),
            row=int(fields["row"]),
            acquired=acquired,
            processed=processed,
            collection=fields["collection"],
            tier=fields["tier"],
            number=fields["number"],
            label=fields["label"],
        )

    @property
    def scene(self) -> str:
        """The product that the patch was cut from."""
        return (
            f"{self.sensor}_{self.level}_{self.path:03d}{self.row:03d}_{self.acquired:%Y%m%d}"
            f"_{self.processed:%Y%m%d}_{self.collection}_{self.tier}"
        )

    @property
    def image(self) -> "PatchName":
        """The name of the image that a mask belongs to."""
        return replace(self, label=None)

    def __str__(self) -> str:
        label = f"_{self.label}" if self.label else ""
        return f"{self.scene}{label}_p{self.number}"
