"""CSV tables as spreadsheets write them: read where it is certain what is meant, else refused with file and line."""

import codecs
import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SEPARATORS: Final = ",;\t"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        place: ``file:line`` where it ends.
        cells: by column.
    """

    place: str
    cells: dict[str, str]


def read_table(path: Path, columns: Collection[str]) -> tuple[list[Row], list[str]]:
    """Read a CSV in UTF-8 (or UTF-16 that says so), separated by comma, semicolon or tab, whichever gives the columns.

    Args:
        path: the table.
        columns: that it must have; others are passed on.

    Returns:
        Its rows, and a line for each row that has other cells than the header.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it can't be read as a table with these columns; the message names file and remedy.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such table; correct its path")
    lines = [*io.StringIO(_text(path), newline="")]
    header, separator = _header(path, lines[0] if lines else "", columns)
    reader = csv.reader(lines[1:], delimiter=separator, strict=True)
    rows, problems = [], []
    try:
        for cells in reader:
            place = f"{path}:{reader.line_num + 1}"
            if len(cells) == len(header):
                rows.append(Row(place, dict(zip(header, cells, strict=True))))
            elif cells:
                problems.append(f"{place}: has {len(cells)} cells, its header has {len(header)}; correct the row")
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num + 1}: is no CSV ({error}); correct its quotes") from error
    return rows, problems


def _text(path: Path) -> str:
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{line}: is not UTF-8 (byte 0x{content[error.start]:02x}); save the table as CSV UTF-8"
        ) from error


def _header(path: Path, line: str, columns: Collection[str]) -> tuple[list[str], str]:
    """Return the columns' names, and the separator that gives most of the wanted ones."""
    headers = {
        separator: [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
        for separator in _SEPARATORS
    }
    separator = min(headers, key=lambda one: len(set(columns) - set(headers[one])))
    header = headers[separator]
    missing = sorted(set(columns) - set(header))
    if missing:
        raise ValueError(
            f"{path}:1: lacks column {', '.join(missing)} (its first line is {line.strip()!r}); name the columns in "
            "the first line, separated by comma, semicolon or tab"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}:1: has column {', '.join(twice)} twice; remove one of them")
    return header, separator
