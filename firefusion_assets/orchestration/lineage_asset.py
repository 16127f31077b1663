"""The one shape of an asset: the table of the lineage and a function become an asset of Dagster."""

from collections.abc import Callable, Set
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, cast

import dagster as dg

from firefusion_assets.lineage.assets import ASSETS, REPORT, AssetName
from firefusion_assets.orchestration import checks
from firefusion_assets.orchestration.automation import FOLLOWS, REPORT_FRESHNESS
from firefusion_assets.orchestration.executors import GPU_OP_TAGS, GPU_POOL, leased_gpus
from firefusion_assets.orchestration.resources import Workspace
from firefusion_assets.orchestration.step import Step, user_errors
from firefusion_assets.steps.addresses import page_address
from firefusion_assets.study import Study


@dataclass(frozen=True)
class LineageAsset:
    """An asset of every study.

    Attributes:
        run: builds the object and returns what Dagster shows of it; named and documented as the asset.
        group: where the UI shows it.
        kinds: badges in the UI.
        checks: names of the checks that it answers.
        page: of the documentation, that says more.
    """

    run: Callable[[Step], dg.MaterializeResult]
    group: str
    kinds: Set[str]
    checks: tuple[str, ...]
    page: str

    def of_study(self, study: Study, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
        """Return the asset of one study; its key is `<study>/<asset>`, its partitions are the study's configs."""
        name = cast(AssetName, self.run.__name__)
        asset = ASSETS[name]
        key = dg.AssetKey([study.name, name])
        more: dict[str, Any] = {"pool": GPU_POOL, "op_tags": GPU_OP_TAGS} if asset.gpu else {}
        if name == REPORT:
            more["automation_condition"] = FOLLOWS
            if study.automation.enabled:
                more["freshness_policy"] = REPORT_FRESHNESS

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
            description=f"{cleandoc(self.run.__doc__ or '')}\n\n[Read more]({page_address(self.page)})",
            group_name=self.group,
            kinds={*self.kinds},
            owners=study.owners,
            tags={"firefusion/study": study.name, "firefusion/device": "gpu" if asset.gpu else "cpu"},
            partitions_def=partitions if asset.per_config else None,
            code_version=str(asset.version),
            check_specs=checks.specs(key, *self.checks),
            **more,
        )
        def materialize(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
            with user_errors(), leased_gpus() if asset.gpu else nullcontext():
                return self.run(Step(name, workspace.lineage(), context))

        return materialize


def lineage_asset(
    group: str, kinds: Set[str], page: str, checks: tuple[str, ...] = ()
) -> Callable[[Callable[[Step], dg.MaterializeResult]], LineageAsset]:
    """Make an asset of a function that is named as one of `lineage.assets` and documented for the UI."""
    return lambda run: LineageAsset(run, group, kinds, checks, page)
