"""YAML as people mean it: anything else than YAML's plain reading is refused with file, line and key."""

import codecs
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.study.yaml_files import YamlError, read_yaml


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml") / "study.yaml"


def problems_of(file: Path, content: bytes) -> list[str]:
    file.write_bytes(content)
    with pytest.raises(YamlError) as error:
        read_yaml(file)
    return error.value.problems


@pytest.mark.parametrize(
    ("content", "line", "key", "remedy"),
    [
        ("a: 1\nb: 2\na: 3", 3, "a", "stands in line 1 too; remove one of them"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", 4, "a.b", "stands in line 2 too; remove one of them"),
        ("a: [{b: 1, b: 2}]", 1, "a.b", "stands in line 1 too; remove one of them"),
        ("a: yes", 1, "a", "write true or false, or put it in quotes"),
        ("a: [1, Off]", 1, "a", "write true or false, or put it in quotes"),
        ("x: 1\na: {b: 010}", 2, "a.b", "write 10, or put it in quotes"),
        ("a: -0_17", 1, "a", "write -17, or put it in quotes"),
        ("a: 1:30", 1, "a", "put it in quotes"),
        ("a: 1:30.5", 1, "a", "put it in quotes"),
        ("on: 1", 1, "on", "a key must be text; put it in quotes"),
        ("a: {7: x}", 1, "a.7", "a key must be text; put it in quotes"),
    ],
)
def test_what_yaml_would_misread_is_refused(file: Path, content: str, line: int, key: str, remedy: str) -> None:
    (problem,) = problems_of(file, content.encode())
    assert problem.startswith(f"{file}:{line}: {key}: ") and problem.endswith(remedy)


def test_all_problems_come_at_once(file: Path) -> None:
    assert len(problems_of(file, b"a: yes\na: 010\nb: !!int 3")) == 4


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"a: caf\xe9", ":1: byte 0xe9 is no UTF-8; save the file as UTF-8"),
        (b"x: 1\na: \x93b\x94", ":2: byte 0x93 is no UTF-8; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), ": is UTF-16; save it as UTF-8"),
        (codecs.BOM_UTF16_BE + "a: 1".encode("utf-16-be"), ": is UTF-16; save it as UTF-8"),
        (b"a: [1", ":1: is not YAML"),
        (b"a:\n\t- 1", ":2: is not YAML"),
        (b"a: 1\n---\na: 2", ":2: is not YAML"),
        (b"a: \x07", ": is not YAML"),
        (b"a: 2020-13-01", ": is not YAML"),
        (b"- 1", ": holds list, expected keys with values"),
        (b"[" * 5000, ": is nested too deeply"),
        (b"a: !!timestamp x", ":1: settings need no tags"),
    ],
)
def test_what_is_no_yaml_in_utf_8_is_refused(file: Path, content: bytes, cause: str) -> None:
    (problem,) = problems_of(file, content)
    assert problem.startswith(f"{file}{cause}")


def test_merge_keys_and_byte_order_marks_work(file: Path) -> None:
    file.write_bytes(codecs.BOM_UTF8 + b"base: &base {x: 1, y: 2}\r\nb:\r\n  <<: *base\r\n  x: 3\r\n")
    assert read_yaml(file).values == {"base": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


def test_every_key_and_item_has_its_line(file: Path) -> None:
    file.write_text("a: 1\nb:\n  c: &c\n    - {d: 2}\n    - 3\n  e: *c\n")
    lines = {"a": 1, "b": 2, "b.c": 3, "b.c.0": 4, "b.c.0.d": 4, "b.c.1": 5, "b.e": 6}
    assert {".".join(keys): place for keys, place in read_yaml(file).places.items()} == {
        key: f"{file}:{line}" for key, line in lines.items()
    }


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@given(values=st.dictionaries(st.text(max_size=8), VALUES, max_size=4), flow=st.booleans())
def test_what_yaml_writes_itself_is_read(file: Path, values: dict[str, Any], flow: bool) -> None:
    file.write_text(yaml.safe_dump(values, default_flow_style=flow), "utf-8")
    assert read_yaml(file).values == values


@given(
    content=st.binary(max_size=60)
    | st.text(alphabet="ab:- \n{}[]&*!<?|>'\"01yesno,#%@`~.", max_size=40).map(str.encode)
)
def test_any_bytes_are_read_or_refused_by_name(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        read = read_yaml(file).values
    except YamlError as error:
        assert all(str(file) in problem for problem in error.problems)
    else:
        assert read == (yaml.safe_load(content.decode("utf-8-sig")) or {})
