"""The one shape of an asset: the table of the lineage and a function become an asset of Dagster."""

from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, cast

import dagster as dg

from firefusion_assets.core.gpu_leases import leased_gpus
from firefusion_assets.lineage.assets import ASSETS, REPORT, Asset, AssetName
from firefusion_assets.lineage.pieces import Pieces
from firefusion_assets.orchestration import checks
from firefusion_assets.orchestration.automation import FOLLOWS, REPORT_FRESHNESS
from firefusion_assets.orchestration.fanout import fanned_out, fanout
from firefusion_assets.orchestration.resources import Workspace
from firefusion_assets.orchestration.step import Step, running_step
from firefusion_assets.orchestration.step_options import step_options
from firefusion_assets.steps.addresses import page_address
from firefusion_assets.steps.object_checks import NOTHING_DAMAGED
from firefusion_assets.study import Study


@dataclass(frozen=True)
class LineageAsset:
    """An asset of every study.

    Attributes:
        run: builds the object and returns what Dagster shows of it; named and documented as the asset.
        group: where the UI shows it.
        kinds: badges in the UI.
        checks: names of the checks that it answers, besides `NOTHING_DAMAGED`.
        page: of the documentation, that says more.
        pieces: returns the pieces that it is put together from, which several steps may share; none if one makes it.
    """

    run: Callable[[Step], dg.MaterializeResult]
    group: str
    kinds: Set[str]
    checks: tuple[str, ...]
    page: str
    pieces: Callable[[Step], Pieces]

    def of_study(self, study: Study, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
        """Return the asset of one study; its key is `<study>/<asset>`, its partitions are the study's configs."""
        asset, key = self.asset, dg.AssetKey([study.name, self.asset.name])
        resources = study.resources.of(asset.name)
        options = step_options(resources)
        own_partitions = partitions if asset.per_config else None
        shown: dict[str, Any] = {
            "description": f"{cleandoc(self.run.__doc__ or '')}\n\n[Read more]({page_address(self.page)})",
            "group_name": self.group,
            "kinds": {*self.kinds},
            "owners": [*study.owners],
            "tags": {"firefusion/study": study.name, "firefusion/device": "gpu" if resources.gpus else "cpu"},
            "partitions_def": own_partitions,
            "code_version": str(asset.version),
            "check_specs": checks.specs(key, own_partitions, *self.checks, NOTHING_DAMAGED),
        }
        if asset.pieces and (shares := fanout()) > 1:
            upstream = [dg.AssetKey([study.name, name]) for name in asset.upstream]
            return fanned_out(key, upstream, shares, self, options=options, **shown)
        shown |= {"pool": options["pool"], "op_tags": options["tags"]}
        if asset.name == REPORT:
            shown["automation_condition"] = FOLLOWS
            if study.automation.enabled:
                shown["freshness_policy"] = REPORT_FRESHNESS

        @dg.asset(
            key=key,
            deps=[
                # Of a report that exists once a study all configs are upstream.
                dg.AssetDep(
                    dg.AssetKey([study.name, upstream]),
                    partition_mapping=dg.AllPartitionMapping()
                    if ASSETS[upstream].per_config and not asset.per_config
                    else None,
                )
                for upstream in asset.upstream
            ],
            **shown,
        )
        def materialize(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
            return self.gather(context, workspace)

        return materialize

    @property
    def asset(self) -> Asset:
        """Its row in the table of the lineage."""
        return ASSETS[cast(AssetName, self.run.__name__)]

    def plan(self, context: dg.AssetExecutionContext, workspace: Workspace, shares: int) -> tuple[int, Sequence[int]]:
        """Return how many shares of its pieces there are, at most so many, and which of them have something to make."""
        with running_step(context):
            step = self._step(context, workspace)
            if step.is_finished():
                return 0, []
            pieces = self.pieces(step)
            n = min(shares, len(pieces.pieces))
            return n, pieces.unfinished(n)

    def piece(self, context: dg.AssetExecutionContext, workspace: Workspace, number: int, shares: int) -> None:
        """Make the pieces of a share."""
        with running_step(context):
            step = self._step(context, workspace)
            with self._devices(step):
                step.build_ahead(self.pieces(step).share(number, shares))

    def gather(self, context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
        """Make the asset, of what pieces of it there are."""
        with running_step(context):
            step = self._step(context, workspace)
            with self._devices(step):
                return self.run(step)

    def _step(self, context: dg.AssetExecutionContext, workspace: Workspace) -> Step:
        return Step(self.asset.name, workspace.lineage(), context)

    def _devices(self, step: Step) -> AbstractContextManager[None]:
        return leased_gpus(step.lineage.study.resources.of(self.asset.name).gpus)


def lineage_asset(
    group: str,
    kinds: Set[str],
    page: str,
    checks: tuple[str, ...] = (),
    pieces: Callable[[Step], Pieces] = lambda step: Pieces(()),
) -> Callable[[Callable[[Step], dg.MaterializeResult]], LineageAsset]:
    """Make an asset of a function that is named as one of `lineage.assets` and documented for the UI."""
    return lambda run: LineageAsset(run, group, kinds, checks, page, pieces)
