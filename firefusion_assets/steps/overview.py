"""How a study stands at this moment: what is current, runs or failed, what checks say, and what is left to pay for."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from firefusion_assets.artifacts.artifact import Artifact, ObjectId
from firefusion_assets.artifacts.store import MANIFEST
from firefusion_assets.lineage.assets import ASSETS, AssetName
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.steps.object_checks import BLOCKING, answers
from firefusion_assets.steps.status import AssetState, study_status

Failures = Mapping[tuple[str, str], tuple[float, str]]
"""When an asset failed for a key (s since 1970), and why, in one line."""


class Price(NamedTuple):
    """What making something takes: hours, those of them with a GPU, and bytes of disk."""

    hours: float = 0.0
    gpu_hours: float = 0.0
    disk: float = 0.0


def overview(lineage: Lineage, failures: Callable[[], Failures]) -> list[AssetState]:
    """Return the state of each asset, as `study_status` does, with `running` and `failed` in place of other states.

    Args:
        lineage: of the study.
        failures: looks for failures; called where something isn't current.

    Raises:
        StudyError: if the study has no configs.
    """
    states = study_status(lineage)
    if all(state.state == "current" for state in states):
        return states
    return with_running(lineage, with_failures(states, failures()))


def with_failures(states: Sequence[AssetState], failures: Failures) -> list[AssetState]:
    """Return the states, `failed` and the reason in place of what is stale or missing since an attempt failed."""
    return [
        replace(state, state="failed", why=failures[state.asset, state.key][1]) if _failed(state, failures) else state
        for state in states
    ]


def with_running(lineage: Lineage, states: Sequence[AssetState]) -> list[AssetState]:
    """Return the states, `running` in place of what isn't current and a living process makes, all or a piece of it.

    The locks and leases of the store tell, so that it doesn't matter who started the process.
    """
    made = {store: store.being_made() for store in (lineage.store, lineage.of_patches.store)}
    return [
        replace(state, state="running", why="") if _runs(lineage, state, made[lineage.store_of(state.asset)]) else state
        for state in states
    ]


def prices(states: Sequence[AssetState]) -> list[Price]:
    """Return what making current each asset that isn't takes by past runs; nothing for one that is.

    What was made before counts with its own cost; what never was with the mean of the same asset of other configs, or
    with nothing where there is none.
    """
    own = [None if state.artifact is None else _paid(state.artifact) for state in states]
    paid: dict[AssetName, list[Price]] = defaultdict(list)
    for state, price in zip(states, own, strict=True):
        if price is not None:
            paid[state.asset].append(price)
    mean = {asset: Price(*map(fmean, zip(*known, strict=True))) for asset, known in paid.items()}
    return [
        Price() if state.state in ("current", "invalid") else price or mean.get(state.asset, Price())
        for state, price in zip(states, own, strict=True)
    ]


def total(prices: Iterable[Price]) -> Price:
    """Return the sum of prices."""
    return Price(*map(sum, zip(Price(), *prices, strict=True)))


def unmet_checks(lineage: Lineage, state: AssetState) -> list[str]:
    """Return the names of an asset's checks that don't pass, with `fails` where they stop what comes after.

    Of what isn't current nothing is said: it is judged when it is made.
    """
    if state.state != "current" or state.artifact is None:
        return []
    unmet = [one.check for one in answers(lineage, state.key, state.artifact) if not one.passed]
    return [f"{check} {'fails' if check in BLOCKING else 'warns'}" for check in unmet]


def _paid(artifact: Artifact) -> Price:
    seconds, gpu_seconds = (artifact.cost.get(name, 0.0) for name in ("seconds", "gpu_seconds"))
    return Price(seconds / 3600, gpu_seconds / 3600, float(artifact.size))


def _failed(state: AssetState, failures: Failures) -> bool:
    if state.state not in ("stale", "missing") or (state.asset, state.key) not in failures:
        return False
    made = (state.artifact.path / MANIFEST).stat().st_mtime if state.artifact is not None else 0.0
    return failures[state.asset, state.key][0] > made


def _runs(lineage: Lineage, state: AssetState, made: Set[ObjectId]) -> bool:
    asset = ASSETS[state.asset]
    own = [fingerprint for name, fingerprint in made if name in (asset.name, asset.pieces)]
    if state.state in ("current", "invalid") or not own:
        return False
    if not asset.per_config:  # one at a time, and before ingest its fingerprint isn't known
        return True
    try:
        today = lineage.fingerprint(asset.name, state.key)
    except MissingUpstreamError:
        return False
    # The name of a piece is that of the whole with fold and replicate.
    return any(fingerprint == today or fingerprint.startswith(f"{today}-") for fingerprint in own)
