"""Whether the objects of a study are those of today's settings and data; nothing is made or changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.ingest.sources.listing import raw_listing
from firefusion_assets.lineage.assets import ASSETS, REPORT, AssetName
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.lineage.remedies import run_command
from firefusion_assets.study import StudyError, augmentation_keys
from firefusion_assets.study.source import MadeSource


@dataclass(frozen=True)
class AssetState:
    """What there is of an asset for a key.

    Attributes:
        asset: name of the asset.
        key: of the config; empty for what exists once a study.
        state: `current`, `stale` (made from other settings or data), `missing`, or `invalid` (its config is wrong); in
            an `overview` also `failed` (the last attempt to make it) and `running`.
        artifact: the object, where there is one.
        why: what is wrong, where something is.
        command: what makes it current, where a command can.
    """

    asset: AssetName
    key: str
    state: Literal["current", "stale", "missing", "failed", "running", "invalid"]
    artifact: Artifact | None = None
    why: str = ""
    command: str = ""


def study_status(lineage: Lineage) -> list[AssetState]:
    """Return the state of each asset: what exists once a study first, then config by config.

    Raises:
        StudyError: if the study has no configs. A wrong config has the state `invalid`.
    """
    own = [name for name, asset in ASSETS.items() if asset.per_config]
    shared = [name for name, asset in ASSETS.items() if not asset.per_config]
    return [asset_state(lineage, asset, "") for asset in shared] + [
        asset_state(lineage, asset, key) for key in augmentation_keys(lineage.folder) for asset in own
    ]


def asset_state(lineage: Lineage, asset: AssetName, key: str) -> AssetState:
    """Return what there is of an asset for a key."""
    if asset == REPORT:
        command = run_command(augmentation_keys(lineage.folder)[0])
    else:
        command = run_command(key) if ASSETS[asset].per_config else run_command(to="scene_split")
    pointed = lineage.pointed(asset, key)
    try:
        today = report_fingerprint(lineage) if asset == REPORT else lineage.fingerprint(asset, key)
    except StudyError as error:
        return AssetState(asset, key, "invalid", why=str(error))
    except MissingUpstreamError:
        why = lineage.changes(asset, key) if asset == "landsat_patches" else []
        return _not_current(asset, key, pointed, command, why)
    current = lineage.store_of(asset).find(asset, today)
    if current is None:
        return _not_current(asset, key, pointed, command, lineage.changes(asset, key) if asset != REPORT else [])
    if asset == "landsat_patches" and (changed := _changed_input(lineage, current)):
        return AssetState(asset, key, "stale", current, changed, command)
    return AssetState(asset, key, "current", current)


def report_fingerprint(lineage: Lineage) -> str:
    """Return what the report depends on: the study, the data, and each config's state and figures."""
    figures = []
    for key in augmentation_keys(lineage.folder):
        metrics = asset_state(lineage, "dice_metrics", key)
        figures.append([key, metrics.state, metrics.artifact and metrics.artifact.fingerprint])
    data = [lineage.find(asset, UNPARTITIONED).fingerprint for asset in ("landsat_patches", "scene_split")]
    study = lineage.study.model_dump(mode="json", exclude={"automation", "owners", "resources"})
    return digest([ASSETS[REPORT].version, study, data, figures, orphans(lineage)])


def orphans(lineage: Lineage) -> list[str]:
    """Return the keys that were measured and no longer have a YAML file."""
    live = set(augmentation_keys(lineage.folder))
    return [key for key in lineage.store.keys("dice_metrics") if key not in live]


def _not_current(asset: AssetName, key: str, pointed: Artifact | None, command: str, why: Sequence[str]) -> AssetState:
    if pointed is None:
        return AssetState(asset, key, "missing", why="has not been made", command=command)
    reason = "; ".join(why) or "was made from other settings or data than today's"
    return AssetState(asset, key, "stale", pointed, reason, command)


def _changed_input(lineage: Lineage, patches: Artifact) -> str:
    """Say what is different about the raw input that the base store was made from, if something is."""
    try:
        listed = raw_listing(lineage.of_patches.study, lineage.of_patches.folder)
    except (OSError, ValueError) as error:
        return f"the raw input can't be listed: {error}"
    if listed == patches.facts["raw_input"]:
        return ""
    return f"the raw input has changed since{_difference(lineage.of_patches, patches)}"


def _difference(lineage: Lineage, patches: Artifact) -> str:
    """Say how many patches, or scenes of products, came and went, as far as that is known before they are read."""
    import pandas as pd

    from firefusion_assets.ingest.base_store import TABLE
    from firefusion_assets.ingest.sources.patch_inputs import SourceListing
    from firefusion_assets.ingest.sources.products import ProductListing

    source = lineage.study.dataset
    if isinstance(source, MadeSource) or not (patches.path / TABLE).is_file():
        return ""
    listing, table = (
        source.listing(lineage.folder),
        pd.read_parquet(patches.path / TABLE, columns=["patch_id", "scene"]),
    )
    if isinstance(listing, SourceListing):
        what, today, before = "patches", {one.patch_id for one in listing.inputs}, {*table["patch_id"]}
    elif isinstance(listing, ProductListing):
        what, today, before = "scenes", {one.id.scene.scene for one in listing.products}, {*table["scene"]}
    else:
        return ""
    # Those that held no data were left out then, and look new.
    new = max(0, len(today - before) - patches.facts.get("n_empty_patches", 0))
    gone = len(before - today)
    return f": {new} new {what}, {gone} gone" if new or gone else ": files were replaced"
