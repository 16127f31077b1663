"""The asset checks: their names, what they say, and whether a failure stops what comes after.

Each is answered by the asset itself, which holds the figures already; a step of its own would cost a process.
"""

from typing import Any

import dagster as dg

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.lineage.fingerprints import Lineage

STORE_INTACT = "store_intact"
NO_BAD_FILES = "no_bad_files"
NO_LEAK = "no_leak"
ENOUGH_TESTED = "enough_tested"
BACKGROUND_UNTOUCHED = "background_untouched"
ENOUGH_ACCEPTED = "enough_accepted"
NO_COPIES = "no_copies"
NO_FINGERPRINT = "no_fingerprint"
COUNTS_MATCH = "counts_match"
FINDS_FIRE = "finds_fire"
ALL_CURRENT = "all_current"
NOTHING_DAMAGED = "nothing_damaged"

_BLOCKING = {
    STORE_INTACT: "Every file of the object has the published size, and right after publishing its content too.",
    NO_LEAK: "No group is in two parts of a fold.",
    BACKGROUND_UNTOUCHED: "Outside the edit masks every painted patch equals its background in every band.",
    COUNTS_MATCH: "The overlay holds exactly the accepted patches, painted on the train part's, and those held back.",
}
_WARNING = {
    NO_BAD_FILES: "Every file of the raw input could be used.",
    ENOUGH_TESTED: "Fires of at least 10 groups are evaluated: intervals from fewer are unreliable, and from one there "
    "is none. More folds test more groups (split.folds).",
    ENOUGH_ACCEPTED: "As many patches were accepted as the config asks for, and at least half of the painted ones.",
    NO_COPIES: "No painted fire is nearly a real one of the train part.",
    NO_FINGERPRINT: "A classifier can't tell the ground around painted fires from what it was: 0.5 is in its AUC's "
    "interval.",
    FINDS_FIRE: "Every U-Net finds some of the test fires.",
    ALL_CURRENT: "Every config has a figure made from today's settings and data.",
    NOTHING_DAMAGED: "All that the step read is as it was published. What isn't is moved to .damaged in the store, for "
    "you to look at, and made again; if it happens twice, check the disk.",
}


def meaning(name: str) -> str:
    """Return what a check is sure of if it passes."""
    return _BLOCKING.get(name) or _WARNING[name]


def specs(asset: dg.AssetKey, *names: str) -> list[dg.AssetCheckSpec]:
    """Return the specs of an asset's checks."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=meaning(name), blocking=name in _BLOCKING) for name in names
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
    severity = dg.AssetCheckSeverity.ERROR if name in _BLOCKING else dg.AssetCheckSeverity.WARN
    shown = {key: value for key, value in metadata.items() if value is not None}
    return dg.AssetCheckResult(check_name=name, passed=passed, severity=severity, metadata=shown)
