"""What every key of a study's YAML files means, as Markdown, from the models themselves."""

from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc, isclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from firefusion_assets.study.augmentation import augmentation_model
from firefusion_assets.study.models import Study
from firefusion_assets.study.registry import engines

_HEAD = """# Settings

What each key means, from the code (`firefusion settings` prints this page, with the engines of installed packages).
A key with **required** has no default.
"""


def reference() -> str:
    """Return a table of keys for each section of `study.yaml` and of `augmentations/KEY.yaml`, and for each engine."""
    parts = [_HEAD, "## study.yaml", *_sections(Study, {"dataset"}, "")]
    for dataset in _members(Study.model_fields["dataset"]):
        parts += _section(dataset, f"dataset: {{source: {_tag(dataset, 'source')}}}", "")
    parts += ["## augmentations/KEY.yaml", *_sections(augmentation_model(), {"generator"}, "")]
    for name, engine in sorted(engines().items()):
        parts += _section(engine, f"generator: {{engine: {name}}}", "")
    return "\n\n".join(parts) + "\n"


def _sections(model: type[BaseModel], apart: set[str], prefix: str) -> Iterator[str]:
    """Yield a table of the plain keys of a model, then one for each section; some sections have pages of their own."""
    plain = {name: field for name, field in model.model_fields.items() if name not in apart and not _model(field)}
    yield _table(plain, prefix)
    for name, field in model.model_fields.items():
        if name not in apart and (section := _model(field)) is not None:
            yield from _section(section, name, prefix)


def _section(model: type[BaseModel], title: str, prefix: str) -> Sequence[str]:
    return [f"### {title}", cleandoc(model.__doc__ or ""), _table(dict(_flat(model, prefix)), "")]


def _flat(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the keys of a model and of the models in it, with dots between them."""
    for name, field in model.model_fields.items():
        inner = _model(field)
        if inner is None:
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


def _tag(model: type[BaseModel], name: str) -> str:
    (tag,) = get_args(model.model_fields[name].annotation)
    return str(tag)


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
