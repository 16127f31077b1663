"""What every key of a study's YAML files means, as Markdown, from the models themselves."""

from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc, isclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from firefusion_assets.study.augmentation import Augmentation
from firefusion_assets.study.engine import Engine
from firefusion_assets.study.masks import Masks
from firefusion_assets.study.models import Study
from firefusion_assets.study.part import Part
from firefusion_assets.study.registry import known
from firefusion_assets.study.resources import StepResources
from firefusion_assets.study.rule import Rule
from firefusion_assets.study.source import Source

_HEAD = """# Settings

What each key means, from the code (`firefusion settings` prints this page, with the parts of installed packages).
A key with **required** has no default.
"""


def reference() -> str:
    """Return a table of keys for each section of `study.yaml` and `augmentations/KEY.yaml`, and for each part."""
    parts = [_HEAD, "## study.yaml", *_sections(Study, "")]
    parts += _parts("dataset", Source)
    parts += ["## augmentations/KEY.yaml", *_sections(Augmentation, "")]
    parts += [*_parts("generator", Engine), *_parts("masks", Masks), *_parts("screening.rules", Rule)]
    return "\n\n".join(parts) + "\n"


def _parts(key: str, kind: type[Part]) -> Iterator[str]:
    """Yield a table for each known part of a kind."""
    for name, part in sorted(known(kind).items()):
        yield from _section(part, f"{key}: {{{kind.named_by}: {name}}}", "")


def _sections(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Yield a table of the plain keys of a model, then one for each section; parts have tables of their own."""
    parts = {name for name, field in model.model_fields.items() if _is_part(field)}
    plain = {name: field for name, field in model.model_fields.items() if name not in parts and not _model(field)}
    yield _table(plain, prefix)
    for name, field in model.model_fields.items():
        if name not in parts and (section := _model(field)) is not None:
            yield from _section(section, name, prefix)


def _is_part(field: FieldInfo) -> bool:
    return any(issubclass(one, Part) for one in _members(field))


def _section(model: type[BaseModel], title: str, prefix: str) -> Sequence[str]:
    return [f"### {title}", cleandoc(model.__doc__ or ""), _table(dict(_flat(model, prefix)), "")]


def _flat(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the keys of a model and of the models in it, with dots between them."""
    for name, field in model.model_fields.items():
        inner = _model(field)
        if inner is None or issubclass(inner, Part | StepResources):
            yield f"{prefix}{name}", field
        else:
            yield from _flat(inner, f"{prefix}{name}.")


def _table(fields: Mapping[str, FieldInfo], prefix: str) -> str:
    rows = [
        f"| {' | '.join((f'`{prefix}{name}`', _type(field.annotation), _default(field), _cell(field.description)))} |"
        for name, field in fields.items()
    ]
    return "\n".join(["| key | values | default | meaning |", "|---|---|---|---|", *rows])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == () or value == "":
        return ""
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{shown.lower() if isinstance(value, bool) else shown}`"


def _type(annotation: Any) -> str:
    """Return an annotation as people write values of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type(one) for one in arguments if one is not NoneType)
    if origin is tuple:
        return "list of " + " and ".join(dict.fromkeys(_type(one) for one in arguments if one is not Ellipsis))
    names = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text", "Path": "path"}
    return names.get(annotation) or names.get(getattr(annotation, "__name__", ""), "") or "settings"


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a key holds, if it holds one kind of model."""
    members = _members(field)
    return members[0] if len(members) == 1 else None


def _members(field: FieldInfo) -> list[type[BaseModel]]:
    def found(annotation: Any) -> Iterator[type[BaseModel]]:
        if isclass(annotation) and issubclass(annotation, BaseModel):
            yield annotation
        elif get_origin(annotation) is not Literal:
            for one in get_args(annotation):
                yield from found(one)

    return list(found(field.annotation))


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
