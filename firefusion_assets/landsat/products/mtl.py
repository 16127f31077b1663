"""The metadata file of a product (MTL), as text or as JSON, of every generation.

Groups are named differently from generation to generation, fields are not: fields are read whatever group they
stand in.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite, nan
from typing import Any, NamedTuple

from firefusion_assets.landsat.bands import THERMAL_BANDS

_FIELD = re.compile(r'^[ \t]*(?P<key>[A-Z0-9_]+)[ \t]*=[ \t]*"?(?P<value>[^"\n]*?)"?[ \t\r]*$', re.ASCII | re.MULTILINE)


class MetadataError(ValueError):
    """An MTL that can't be used.

    Args:
        problems: one line each, without the file's name.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Rescaling(NamedTuple):
    """How DN become a quantity: quantity = gain * DN + offset."""

    gain: float
    offset: float


@dataclass(frozen=True)
class Metadata:
    """What a product's MTL says.

    Attributes:
        spacecraft: ``LANDSAT_8`` or ``LANDSAT_9``.
        path: WRS-2 path.
        row: WRS-2 row.
        acquired: day of the pass.
        sun_elevation: degrees above the horizon at the scene centre.
        reflectance: for each reflective band the rescaling to reflectance without sun correction.
    """

    spacecraft: str
    path: int
    row: int
    acquired: date
    sun_elevation: float
    reflectance: dict[str, Rescaling]


def read_metadata(text: str, bands: Sequence[str]) -> Metadata:
    """Read an MTL, text or JSON.

    Args:
        text: the file's content.
        bands: names; for each reflective one the constants have to be there.

    Raises:
        MetadataError: with every field that is missing or isn't what it should be.
    """
    fields = _Fields(text)
    level = fields.text("PROCESSING_LEVEL", "DATA_TYPE")
    if level and not level.startswith("L1"):
        raise MetadataError([f"is of level {level}: another quantity; fetch the level-1 product"])
    metadata = Metadata(
        spacecraft=fields.text("SPACECRAFT_ID"),
        path=fields.integer("WRS_PATH"),
        row=fields.integer("WRS_ROW"),
        acquired=fields.day("DATE_ACQUIRED"),
        sun_elevation=fields.number("SUN_ELEVATION"),
        reflectance={band: fields.rescaling(band) for band in bands if band not in THERMAL_BANDS},
    )
    problems = list(fields.wrong)
    if metadata.sun_elevation <= 0 or metadata.sun_elevation > 90:
        problems.append(
            f"SUN_ELEVATION is {metadata.sun_elevation:g} degrees: reflectance means nothing at night; use daytime "
            "products"
        )
    if fields.missing:
        problems.insert(0, f"lacks {', '.join(fields.missing)}: cut short or edited; fetch it again")
    if problems:
        raise MetadataError(problems)
    return metadata


class _Fields:
    """The fields of an MTL; fields that are missing are noted, so that one error names them all."""

    def __init__(self, text: str) -> None:
        pairs = _json_fields(text) if text.lstrip().startswith("{") else _text_fields(text)
        self._values: dict[str, str] = {}
        for key, value in pairs:
            self._values.setdefault(key, value)
        self.missing: list[str] = []
        self.wrong: list[str] = []

    def text(self, *keys: str) -> str:
        """Return the first of the fields that is there."""
        found = [self._values[key] for key in keys if self._values.get(key)]
        if not found:
            self.missing.append(" or ".join(keys))
        return found[0] if found else ""

    def number(self, key: str) -> float:
        """Return a number, NaN if it isn't there."""
        value = self.text(key)
        if not value:
            return nan
        try:
            number = float(value)
        except ValueError:
            number = nan
        if not isfinite(number):
            self.wrong.append(f"{key} is {value!r}, no number; fetch it again")
        return number

    def integer(self, key: str) -> int:
        number = self.number(key)
        return int(number) if isfinite(number) else 0

    def day(self, key: str) -> date:
        value = self.text(key)
        try:
            return date.fromisoformat(value) if value else date.min
        except ValueError:
            self.wrong.append(f"{key} is {value!r}, no date; fetch it again")
            return date.min

    def rescaling(self, band: str) -> Rescaling:
        gain, offset = (self.number(f"REFLECTANCE_{part}_BAND_{band[1:]}") for part in ("MULT", "ADD"))
        return Rescaling(gain, offset)


def _text_fields(text: str) -> Iterator[tuple[str, str]]:
    for match in _FIELD.finditer(text):
        if match["key"] not in {"GROUP", "END_GROUP"}:
            yield match["key"], match["value"]


def _json_fields(text: str) -> Iterator[tuple[str, str]]:
    def leaves(group: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for key, value in group.items():
            if isinstance(value, dict):
                yield from leaves(value)
            else:
                yield key, str(value)

    try:
        yield from leaves(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise MetadataError([f"is no JSON ({error}): cut short; fetch it again"]) from error
