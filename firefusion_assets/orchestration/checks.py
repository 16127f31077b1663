"""The asset checks as Dagster shows them: those of an object's facts, and the two that are of the moment.

Each is answered by the asset itself, which holds the figures already; a step of its own would cost a process.
"""

import warnings
from typing import Any

import dagster as dg

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.steps.object_checks import BLOCKING, NOTHING_DAMAGED, STORE_INTACT, meaning


def specs(asset: dg.AssetKey, partitions: dg.PartitionsDefinition[str] | None, *names: str) -> list[dg.AssetCheckSpec]:
    """Return the specs of an asset's checks; with partitions each has a result for each of them."""
    with warnings.catch_warnings():
        # A preview; without it the result of one config hides those of all others.
        warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name, asset=asset, description=meaning(name), blocking=name in BLOCKING, partitions_def=partitions
            )
            for name in names
        ]


def store_intact(store: ArtifactStore, artifact: Artifact, contents: bool) -> dg.AssetCheckResult:
    """Return the answer of `STORE_INTACT` for an object; `contents` compares every byte and not only sizes."""
    damages = store.damages(artifact, contents)
    return result(STORE_INTACT, not damages, damages="\n".join(damages) or None)


def nothing_damaged(lineage: Lineage) -> dg.AssetCheckResult:
    """Return the answer of `NOTHING_DAMAGED`, which every asset gives, for what was read through a lineage."""
    found = [line for store in dict.fromkeys((lineage.store, lineage.of_patches.store)) for line in store.damages_found]
    return result(NOTHING_DAMAGED, not found, damages="\n".join(found) or None)


def result(name: str, passed: bool, **metadata: Any) -> dg.AssetCheckResult:
    """Return a check's answer; a failure is an error where it blocks, else a warning."""
    severity = dg.AssetCheckSeverity.ERROR if name in BLOCKING else dg.AssetCheckSeverity.WARN
    shown = {key: value for key, value in metadata.items() if value is not None}
    return dg.AssetCheckResult(check_name=name, passed=passed, severity=severity, metadata=shown)
