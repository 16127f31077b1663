"""The engines that a config can name: those of installed packages, and those registered in this process."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final, TypeVar, get_args

from firefusion_assets.core.errors import UserError
from firefusion_assets.study.engine import Engine

GROUP: Final = "firefusion.engines"
"""Group of entry points; each has the engine's name and points at its subclass of `Engine`."""

EngineT = TypeVar("EngineT", bound=Engine)
_registered: dict[str, type[Engine]] = {}


class EngineError(UserError, RuntimeError):
    """An engine that can't be used as it is installed. The message says what to do."""


def register(engine: type[EngineT]) -> type[EngineT]:
    """Make an engine known in this process, without a package that declares it; serves as a decorator too.

    Raises:
        EngineError: if the class doesn't say its name.
    """
    _registered[_name(engine)] = engine
    return engine


def engines() -> dict[str, type[Engine]]:
    """Return the known engines by name.

    Raises:
        EngineError: if a package's engine can't be loaded, or none is installed.
    """
    return _installed() | _registered


def default_engine() -> Engine:
    """Return the engine of a config that names none: one that paints nothing."""
    return engines()["none"].model_validate({})


@cache
def _installed() -> dict[str, type[Engine]]:
    found = {entry.name: _load(entry) for entry in sorted(entry_points(group=GROUP))}
    if not found:
        raise EngineError(
            f"no installed package declares an engine (entry points {GROUP}); install FireFusion anew: "
            "python -m pip install -e ."
        )
    return found


def _load(entry: EntryPoint) -> type[Engine]:
    try:
        engine = entry.load()
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"engine {entry.name} ({entry.value}) can't be loaded: {error}; repair or uninstall its package"
        ) from error
    if _name(engine) != entry.name:
        raise EngineError(f"engine {_name(engine)} ({entry.value}) is declared as {entry.name}; name both alike")
    return engine


def _name(engine: type[Engine]) -> str:
    names = get_args(engine.model_fields["engine"].annotation)
    if len(names) != 1:
        raise EngineError(f'{engine.__qualname__} doesn\'t say its name; declare `engine: Literal["NAME"]`')
    return str(names[0])
