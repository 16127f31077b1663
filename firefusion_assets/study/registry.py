"""The parts that a study can name: those of installed packages, and those registered in this process."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar, cast, get_args

from firefusion_assets.core.errors import UserError
from firefusion_assets.study.part import Part

PartT = TypeVar("PartT", bound=Part)
_registered: dict[type[Part], dict[str, type[Part]]] = {}


class PartError(UserError, RuntimeError):
    """A part that can't be used as it is installed. The message says what to do."""


def register(part: type[PartT]) -> type[PartT]:
    """Make a part known in this process, without a package that declares it; serves as a decorator too.

    Raises:
        PartError: if the class doesn't say its name.
    """
    kind = next(base for base in part.__mro__ if "named_by" in vars(base))
    _registered.setdefault(kind, {})[_name(part)] = part
    return part


def known(kind: type[PartT]) -> dict[str, type[PartT]]:
    """Return the known parts of a kind by name.

    Raises:
        PartError: if a package's part can't be loaded, or none is installed.
    """
    return cast(dict[str, type[PartT]], _installed(kind) | _registered.get(kind, {}))


@cache
def _installed(kind: type[Part]) -> dict[str, type[Part]]:
    found = {entry.name: _load(kind, entry) for entry in sorted(entry_points(group=kind.group))}
    if not found:
        raise PartError(
            f"no installed package declares what `{kind.named_by}` can name (entry points {kind.group}); install "
            "FireFusion anew: python -m pip install -e ."
        )
    return found


def _load(kind: type[Part], entry: EntryPoint) -> type[Part]:
    what = f"{kind.named_by} {entry.name} ({entry.value})"
    try:
        part = entry.load()
    except (ImportError, AttributeError) as error:
        if entry.module.startswith("firefusion_assets."):
            remedy = "FireFusion has changed since it was installed; install it anew: python -m pip install -e ."
        else:
            remedy = "repair or uninstall its package"
        raise PartError(f"{what} can't be loaded: {error}; {remedy}") from error
    if not (isinstance(part, type) and issubclass(part, kind)):
        raise PartError(f"{what} is no {kind.__name__}; derive it from {kind.__module__}.{kind.__name__}")
    if (name := _name(part)) != entry.name:
        raise PartError(f"{kind.named_by} {name} ({entry.value}) is declared as {entry.name}; name both alike")
    return part


def _name(part: type[Part]) -> str:
    names = get_args(part.model_fields[part.named_by].annotation)
    if len(names) != 1:
        raise PartError(f'{part.__qualname__} doesn\'t say its name; declare `{part.named_by}: Literal["NAME"]`')
    return str(names[0])
