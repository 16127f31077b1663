"""What is wrong with a study's files, told by file, line, key and remedy."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from firefusion_assets.core.errors import UserError
from firefusion_assets.study.part import Part
from firefusion_assets.study.registry import known
from firefusion_assets.study.yaml_files import Settings

_BRANCHES: Final = ("constrained-float", "float", "literal[")
"""How pydantic calls the branches of a value that is a number or a word."""


class StudyError(UserError, ValueError):
    """A study or config that can't be used. The message lists every problem with file, key and remedy.

    Args:
        problems: one line each.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def relevant(errors: Iterable[ErrorDetails]) -> Iterable[ErrorDetails]:
    """Leave out, of a value that may be a number or a word, what it lacks of the one that it isn't."""
    for details in errors:
        branch = str(details["loc"][-1]) if details["loc"] else ""
        is_word = isinstance(details["input"], str)
        if not branch.startswith(_BRANCHES):
            yield details
        elif is_word == branch.startswith("literal["):
            yield details | {"loc": details["loc"][:-1]}


def problem_line(model: type[BaseModel], settings: Settings, named: Path, details: ErrorDetails) -> str:
    """Turn one finding of pydantic into a line with file, line, key and remedy.

    What is missing has no line; it is looked for in the file that was named.
    """
    location, siblings = _locate(model, [str(part) for part in details["loc"]])
    missing = details["type"] == "missing"
    key, file = ".".join(location), str(named) if missing else settings.places.get(tuple(location), str(named))
    if details["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], siblings, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(siblings)}"
        return f"{file}: {key}: unknown key; {hint}"
    if details["type"] in ("model_type", "model_attributes_type"):
        return (
            f"{file}: {key}: holds {details['input']!r}, expected keys with values; known here: {', '.join(siblings)}"
        )
    if missing:
        return f"{file}: {key}: missing; add it"
    if details["type"] == "union_tag_not_found":
        return f"{file}: {key}.{_discriminator(details)}: missing; add it"
    if details["type"] == "union_tag_invalid":
        chosen, known = details["ctx"]["tag"], details["ctx"]["expected_tags"]
        hint = _nearest(chosen, known)
        return f"{file}: {key}.{_discriminator(details)}: {chosen!r} is unknown; known are {known}{hint}"
    if details["type"] == "literal_error":
        chosen, known = details["input"], details["ctx"]["expected"]
        return f"{file}: {key}: {chosen!r} is unknown; known are {known}{_nearest(chosen, known)}"
    if details["type"] == "string_type" and "bands" in location and isinstance(details["input"], int):
        return f"{file}: {key}: a band's name is text; write B{details['input']}"
    message = details["msg"].removeprefix("Value error, ")
    given = "" if isinstance(details["input"], dict) else f" (given: {details['input']!r})"
    return f"{file}: {key + ': ' if key else ''}{message}{given}"


def _nearest(chosen: object, known: str) -> str:
    """Return a hint at the choice that was probably meant; the choices come in quotes."""
    close = difflib.get_close_matches(str(chosen), re.findall("'([^']*)'", known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _discriminator(details: ErrorDetails) -> str:
    """Return the key that says which of several models is meant."""
    return str(details["ctx"]["discriminator"]).strip("'")


def _locate(model: type[BaseModel], location: list[str]) -> tuple[list[str], list[str]]:
    """Return a location without the union variants that pydantic puts into it, and the keys known there."""
    keys: list[str] = []
    variants = [model]
    for part in location:
        fields = {name: field for variant in variants for name, field in variant.model_fields.items()}
        tagged = [variant for variant in variants if part in _tags(variant)]
        if part in fields:
            keys.append(part)
            variants = _models_in(fields[part].annotation) or variants
        elif tagged:
            variants = tagged
        else:
            keys.append(part)
    return keys, list(dict.fromkeys(name for variant in variants for name in variant.model_fields))


def _tags(model: type[BaseModel]) -> set[str]:
    """Return the values by which a variant is chosen."""
    return set(get_args(model.model_fields[model.named_by].annotation)) if issubclass(model, Part) else set()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field's annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [*known(annotation).values()]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
