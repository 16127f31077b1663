"""Tables as spreadsheets write them give the rows that were meant, or a message with file, line and remedy."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.core.tables import read_table

COLUMNS = ("image", "mask")
PLAIN = "image,mask,group\ns0.tif,m0.tif,a\ns1.tif,,b\n"
ROWS = [{"image": "s0.tif", "mask": "m0.tif", "group": "a"}, {"image": "s1.tif", "mask": "", "group": "b"}]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "pairs.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_the_ways_of_spreadsheets_are_read(path: Path, separator: str, encoding: str, ending: str) -> None:
    text = PLAIN.replace(",", separator).replace("\n", ending).replace("s0", "é0")
    path.write_bytes(text.encode(encoding))
    rows, problems = read_table(path, COLUMNS)
    assert [row.cells for row in rows] == [{**ROWS[0], "image": "é0.tif"}, ROWS[1]]
    assert [row.place for row in rows] == [f"{path}:2", f"{path}:3"]
    assert problems == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image,mask\nx.tif,\xe9.tif\n", ":2: is not UTF-8 (byte 0xe9); save the table as CSV UTF-8"),
        (b"picture;mask\na;b\n", ":1: lacks column image (its first line is 'picture;mask')"),
        (b"image|mask\na|b\n", ":1: lacks column image, mask (its first line is 'image|mask')"),
        (b"", ":1: lacks column image, mask"),
        (b"image,mask,image\na,b,c\n", ":1: has column image twice"),
        (b'image,mask\n"a,b\nc,d\n', ":3: is no CSV"),
    ],
)
def test_what_is_no_such_table_is_refused_by_name(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match="pairs") as error:
        read_table(path, COLUMNS)
    assert str(error.value).startswith(f"{path}{message}")


def test_rows_of_another_length_are_problems_not_events(path: Path) -> None:
    path.write_text("image,mask,group\na.tif\n\nb.tif,m.tif,g,h\nc.tif,m.tif,g\n")
    rows, problems = read_table(path, COLUMNS)
    assert [row.cells["image"] for row in rows] == ["c.tif"]
    assert [problem.split(";")[0] for problem in problems] == [
        f"{path}:2: has 1 cells, its header has 3",
        f"{path}:4: has 4 cells, its header has 3",
    ]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)


@given(
    cells=st.lists(st.tuples(CELLS.filter(bool), CELLS), max_size=6),
    separator=st.sampled_from(",;\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_spreadsheet_writes_comes_back(
    path: Path, cells: list[tuple[str, str]], separator: str, quoting: int, encoding: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting).writerows([COLUMNS, *cells])  # type: ignore[arg-type]
    path.write_bytes(text.getvalue().encode(encoding))
    rows, problems = read_table(path, COLUMNS)
    assert [(row.cells["image"], row.cells["mask"]) for row in rows] == cells
    assert problems == []


@given(content=st.binary(max_size=80) | st.text("imagesk,;\t\"'\n\r0\ufeff", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_by_name(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        rows, problems = read_table(path, ("a",))
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert all(set(row.cells) >= {"a"} for row in rows)
        assert all(str(path) in problem for problem in problems)
