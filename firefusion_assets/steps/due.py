"""Which configs new patches or changed settings made stale, and what making them again will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.ingest.sources.listing import raw_listing
from firefusion_assets.lineage.assets import ASSETS, REPORT
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.steps.status import AssetState, study_status


@dataclass(frozen=True)
class DueConfig:
    """A config whose objects are not those of today's settings and data.

    Attributes:
        key: of the config.
        made_from: hash of all settings and the raw input that it would be made from.
        hours: what its steps took last time; of one that was never made, the mean of the others.
    """

    key: str
    made_from: str
    hours: float


def due_configs(lineage: Lineage) -> list[DueConfig]:
    """Return the configs that a run would make something new for; invalid ones are left out.

    Raises:
        StudyError: if the study has no configs.
        OSError: if the raw input can't be listed.
    """
    states = study_status(lineage)
    patches = next(state for state in states if state.asset == "landsat_patches")
    shared_is_old = any(state.state != "current" for state in states if not state.key and state.asset != REPORT)
    if patches.state == "current" and patches.artifact is not None:  # then the raw input was listed just now
        raw = digest(patches.artifact.facts["raw_input"])
    else:
        raw = digest(raw_listing(lineage.of_patches.study, lineage.of_patches.folder))
    of_key: dict[str, list[AssetState]] = {}
    for state in states:
        if state.key:
            of_key.setdefault(state.key, []).append(state)
    hours = {key: _hours(of_config, shared_is_old) for key, of_config in of_key.items()}
    known = [value for value in hours.values() if value is not None]
    return [
        DueConfig(key, digest([raw, _settings(lineage, key)]), guess if guess is not None else fmean(known or [0.0]))
        for key, guess in hours.items()
        if all(state.state != "invalid" for state in of_key[key])
        and (shared_is_old or any(state.state != "current" for state in of_key[key]))
    ]


def affordable(due: Sequence[DueConfig], max_hours: float) -> list[DueConfig]:
    """Return the first configs that take no more than so many hours together."""
    chosen: list[DueConfig] = []
    for one in due:
        if sum(other.hours for other in chosen) + one.hours <= max_hours:
            chosen.append(one)
    return chosen


def _hours(states: Sequence[AssetState], all_of_them: bool) -> float | None:
    """Return what the steps took that would run again; None where one of them was never made."""
    old = [state for state in states if all_of_them or state.state != "current"]
    if any(state.artifact is None for state in old):
        return None
    return sum(state.artifact.cost.get("seconds", 0.0) for state in old if state.artifact is not None) / 3600


def _settings(lineage: Lineage, key: str) -> list[object]:
    return [[asset.version, asset.settings(lineage, key)] for name, asset in ASSETS.items() if name != REPORT]
