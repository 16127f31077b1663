"""The object that is being made here: what it uses and costs is noted by whatever finds objects for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from firefusion_assets.artifacts.artifact import Artifact, ObjectId
from firefusion_assets.artifacts.cost import CostMeter


class Making(NamedTuple):
    """An object that is being made: what it has used so far, and what it costs."""

    used: set[ObjectId]
    meter: CostMeter


being_made: ContextVar[Making | None] = ContextVar("making", default=None)
"""The object that is being made here, if one is."""


def note_use(asset: str, fingerprint: str) -> None:
    """Note that the object that is being made, if one is, is made from this one."""
    if (making := being_made.get()) is not None:
        making.used.add((asset, fingerprint))


@contextmanager
def only_looked_at() -> Iterator[None]:
    """Note no use of what is found in the block: the object that is being made tells of it, and isn't made from it."""
    outer = being_made.set(None)
    try:
        yield
    finally:
        being_made.reset(outer)


def count_cost(artifact: Artifact) -> None:
    """Count what a finished object cost as cost of the object that is being made, where one is: it is a piece of it."""
    if (making := being_made.get()) is not None:
        making.meter.add(artifact.cost)
