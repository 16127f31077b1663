"""YAML files as people mean them: what YAML 1.1 would quietly take for something else is refused with its line."""

import codecs
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

_MERGE: Final = "tag:yaml.org,2002:merge"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class YamlError(ValueError):
    """A file that is no YAML, or says something that YAML reads otherwise than people do.

    Args:
        problems: one line each, with file, line and remedy.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Settings(NamedTuple):
    """What a file holds.

    Attributes:
        values: by key.
        places: ``FILE:LINE`` of each key and item, by its path.
    """

    values: dict[str, Any]
    places: dict[tuple[str, ...], str]


def read_yaml(file: Path) -> Settings:
    """Read a file whose top level is a mapping; an empty one has no keys.

    Raises:
        YamlError: with all problems: other encodings than UTF-8, keys given twice or that are no text, booleans
            written as yes, no, on or off, numbers that YAML reads to base 8 or 60, tags.
    """
    return _parsed(file, _text(file))


@lru_cache(maxsize=256)  # every step of a run reads the same files again
def _parsed(file: Path, text: str) -> Settings:
    try:
        tags = [token.start_mark for token in yaml.scan(text, yaml.SafeLoader) if isinstance(token, yaml.TagToken)]
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        problems = [f"{file}:{mark.line + 1}: settings need no tags (`!`); remove it" for mark in tags]
        problems += [f"{file}:{node.start_mark.line + 1}: {problem}" for node, problem in _misread(root, (), set())]
        if problems:
            raise YamlError(problems)
        values = {} if root is None else loader.construct_document(root)
        places = dict(_places(root, (), file, set()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise YamlError([f"{file}{line}: is not YAML: {error.problem or error.context}"]) from error
    except (yaml.YAMLError, ValueError) as error:  # the latter for dates such as 2020-13-01
        if isinstance(error, YamlError):
            raise
        raise YamlError([f"{file}: is not YAML: {' '.join(str(error).split())}"]) from error
    except RecursionError:
        raise YamlError([f"{file}: is nested too deeply to be settings"]) from None
    if not isinstance(values, dict):
        raise YamlError([f"{file}: holds {type(values).__name__}, expected keys with values"])
    return Settings(values, places)


def _places(
    node: yaml.Node | None, keys: tuple[str, ...], file: Path, seen: set[int]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of each key and item, and where it stands; what an alias shows again stands at its anchor."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    items: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        items = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        items = [(str(number), item, item) for number, item in enumerate(node.value)]
    for name, shown, value in items:
        yield (*keys, name), f"{file}:{shown.start_mark.line + 1}"
        yield from _places(value, (*keys, name), file, seen)


def _text(file: Path) -> str:
    content = file.read_bytes()
    if content.startswith(_UTF_16):
        raise YamlError([f"{file}: is UTF-16; save it as UTF-8"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise YamlError([f"{file}:{line}: byte 0x{byte:02x} is no UTF-8; save the file as UTF-8"]) from error


def _misread(node: yaml.Node | None, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[yaml.Node, str]]:
    """Yield what YAML reads otherwise than people do."""
    if node is None or id(node) in seen:  # an alias shows its anchor's node again
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _misread(item, keys, seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, yaml.Node] = {}
        for key, value in node.value:
            below = (*keys, str(key.value)) if isinstance(key, yaml.ScalarNode) else keys
            shown = ".".join(below)
            if key.tag != _MERGE:
                if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                    yield key, f"{shown}: a key must be text; put it in quotes"
                elif key.value in first:
                    yield key, f"{shown}: stands in line {first[key.value].start_mark.line + 1} too; remove one of them"
                first.setdefault(str(key.value), key)
            yield from _misread(value, below, seen)
    elif (problem := _misread_scalar(node)) is not None:
        yield node, f"{'.'.join(keys)}: {problem}"


def _misread_scalar(node: yaml.Node) -> str | None:
    text, kind = str(node.value), node.tag.removeprefix("tag:yaml.org,2002:")
    if kind == "bool" and text.lower() not in ("true", "false"):
        return f"YAML reads {text} as true or false; write true or false, or put it in quotes"
    if kind in ("int", "float") and ":" in text:
        return f"YAML reads {text} as a number to base 60; put it in quotes"
    if kind == "int" and text.lstrip("+-").startswith("0") and text.lstrip("+-0_").isdigit():
        return f"YAML reads {text} to base 8; write {int(text.replace('_', ''))}, or put it in quotes"
    return None
