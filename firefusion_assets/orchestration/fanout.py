"""An asset as several steps: its pieces are dealt to some that may run side by side, the last one puts them together.

    plan -> piece[1_of_N], ..., piece[N_of_N] -> gather

Where they run is the executor's business. Nothing but the order goes from step to step through Dagster: pieces are
objects of the store. So a step that fails is run again alone, by its retry or a re-execution from failure, and `gather`
is the asset's one step of elsewhere, which finds the pieces and makes what is missing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import dagster as dg

from firefusion_assets.core.errors import RequestError
from firefusion_assets.orchestration.resources import Workspace

_FANOUT: Final = "FIREFUSION_FANOUT"
_MOST: Final = 64
_OF: Final = "_of_"
"""In the key of a mapped step, between its number and that of all: a step that is run again makes the same share."""
_ONCE_MORE: Final = dg.RetryPolicy(max_retries=1)


class Steps(Protocol):
    """What the steps of an asset do; each is given Dagster's context and the study."""

    def plan(self, context: dg.AssetExecutionContext, workspace: Workspace, shares: int) -> tuple[int, Sequence[int]]:
        """Return how many shares there are, at most so many, and which of them, from 0, have something to make."""

    def piece(self, context: dg.AssetExecutionContext, workspace: Workspace, number: int, shares: int) -> None:
        """Make the pieces of a share."""

    def gather(self, context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
        """Put the object together and publish it."""


def fanout() -> int:
    """Return how many steps share the pieces of an asset: FIREFUSION_FANOUT, 1 by default.

    Raises:
        RequestError: if that is no whole number from 1 to 64.
    """
    text = os.environ.get(_FANOUT, "1")
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise RequestError(f"{_FANOUT}: {text!r} is no whole number from 1 to {_MOST}")
    return int(text)


def fanned_out(
    key: dg.AssetKey,
    upstream: Sequence[dg.AssetKey],
    shares: int,
    steps: Steps,
    check_specs: Sequence[dg.AssetCheckSpec],
    options: Mapping[str, Any],
    **shown: Any,
) -> dg.AssetsDefinition:
    """Return an asset that is made by several steps; everything but its steps is as of an asset of one step.

    Args:
        key: of the asset.
        upstream: keys of the assets that it depends on.
        shares: how many steps share its pieces at most.
        steps: what they do.
        check_specs: of the checks that the last step answers.
        options: pool and tags of the steps that make something.
        **shown: what else `dagster.graph_asset` takes.
    """
    name, nothing = key.to_python_identifier(), dg.In(dg.Nothing)
    inputs = {one.to_python_identifier(): dg.AssetIn(one, dagster_type=dg.Nothing) for one in upstream}
    outputs = ["result", *(spec.get_python_identifier() for spec in check_specs)]

    @dg.op(name=f"{name}__plan", ins=dict.fromkeys(inputs, nothing), out=dg.DynamicOut(dg.Nothing))
    def plan(context: dg.AssetExecutionContext, workspace: Workspace) -> Iterator[dg.DynamicOutput[None]]:
        """Say which shares of the pieces have to be made."""
        n, unfinished = steps.plan(context, workspace, shares)
        for number in unfinished:
            yield dg.DynamicOutput(None, mapping_key=f"{number + 1}{_OF}{n}")

    @dg.op(name=f"{name}__piece", ins={"planned": nothing}, out=dg.Out(dg.Nothing), retry_policy=_ONCE_MORE, **options)
    def piece(context: dg.AssetExecutionContext, workspace: Workspace) -> Iterator[dg.Output[None]]:
        """Make a share of the pieces."""
        number, n = map(int, str(context.op_execution_context.get_mapping_key()).split(_OF))
        steps.piece(context, workspace, number - 1, n)
        yield dg.Output(None)  # said aloud, as a step has to that let a process report through Pipes

    @dg.op(name=f"{name}__gather", ins={"pieces": nothing}, out=dict.fromkeys(outputs, dg.Out(dg.Nothing)), **options)
    def gather(context: dg.AssetExecutionContext, workspace: Workspace) -> Iterator[dg.MaterializeResult]:
        """Put the pieces together."""
        yield steps.gather(context, workspace)

    def graph(**upstream: Any) -> dict[str, Any]:
        pieces = plan.alias("plan")(**upstream).map(piece.alias("piece")).collect()
        gathered = gather.alias("gather")(pieces=pieces)
        return dict(zip(outputs, gathered if len(outputs) > 1 else [gathered], strict=True))

    return dg.graph_asset(key=key, ins=inputs, check_specs=check_specs, **shown)(graph)
