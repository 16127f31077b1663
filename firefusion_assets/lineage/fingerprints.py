"""Which object belongs to which asset and key today.

A fingerprint is a hash of the asset's step version, its part of study and config, and the fingerprints of its
upstream assets. Raw input enters where `landsat_patches` is materialized; from there on its object is looked up,
so that no later step has to list the raw input again.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from firefusion_assets.artifacts.artifact import Artifact, ObjectId
from firefusion_assets.artifacts.hashes import digest, folder_hash
from firefusion_assets.artifacts.store import UNPARTITIONED, ArtifactStore
from firefusion_assets.core.errors import UserError
from firefusion_assets.lineage.assets import ASSETS, REPORT, AssetName
from firefusion_assets.lineage.remedies import run_command
from firefusion_assets.study import Augmentation, Study, load_augmentation, load_study
from firefusion_assets.study.extending import config_files, data_folder


class MissingUpstreamError(UserError, RuntimeError):
    """What an asset reads was not made, or was made from other settings. The message says how to make it."""


class Lineage:
    """The objects of one study.

    Args:
        folder: the study folder.
        store: where the objects are.
    """

    def __init__(self, folder: Path, store: ArtifactStore) -> None:
        self.folder = folder
        self.store = store
        self._configs: dict[str, Augmentation] = {}
        self._fingerprints: dict[tuple[AssetName, str], str] = {}

    @cached_property
    def study(self) -> Study:
        """The study's settings."""
        return load_study(self.folder)

    def config(self, key: str) -> Augmentation:
        """Return the augmentation config of a key."""
        if key not in self._configs:
            self._configs[key] = load_augmentation(self.folder, key, self.study)
        return self._configs[key]

    def config_folder(self, key: str) -> Path:
        """Return the study folder that a config's paths are relative to: another study's if it is taken over."""
        return self._config_files[key].parents[1]

    @cached_property
    def _config_files(self) -> dict[str, Path]:
        return config_files(self.folder)

    @cached_property
    def of_patches(self) -> "Lineage":
        """The lineage whose base store this one reads: its own, or that of a study that it extends."""
        folder = data_folder(self.folder)
        if folder == self.folder:
            return self
        inside = self.store.root == self.folder / self.store.root.name
        if inside:
            return Lineage(folder, ArtifactStore(folder / self.store.root.name))
        return Lineage(folder, self.store.beside(load_study(folder).name))

    def raw_fingerprint(self, raw_input: Any) -> str:
        """Return the fingerprint of `landsat_patches` for the raw input as it is listed now."""
        asset = ASSETS["landsat_patches"]
        return digest([asset.name, asset.version, asset.settings(self.of_patches, UNPARTITIONED), raw_input])

    def fingerprint(self, asset: AssetName, key: str) -> str:
        """Return today's fingerprint of an asset; found out once, as what it follows from is read once.

        Args:
            asset: any asset but the report, whose object depends on all keys.
            key: partition key; assets that exist once a study ignore it.

        Raises:
            MissingUpstreamError: if `landsat_patches` was not materialized with today's data set settings.
        """
        if asset == "landsat_patches":
            return self._patches.fingerprint
        if asset == REPORT:
            raise ValueError("the report has no fingerprint by key; see steps.collecting.report_fingerprint")
        known = (asset, pointer_key(asset, key))
        if known not in self._fingerprints:
            upstream = [fingerprint for _, fingerprint in self.upstream(asset, key)]
            self._fingerprints[known] = digest(
                [asset, ASSETS[asset].version, ASSETS[asset].settings(self, key), upstream]
            )
        return self._fingerprints[known]

    def upstream(self, asset: AssetName, key: str) -> list[ObjectId]:
        """Return the objects that an asset is made from; a config counts by its own settings."""
        names = (name for name in ASSETS[asset].upstream if name != "augmentation_config")
        return [(name, self.fingerprint(name, key)) for name in names]

    def find(self, asset: AssetName, key: str) -> Artifact:
        """Return the finished object that an asset's materialization of today published.

        Raises:
            MissingUpstreamError: if there is none; the message holds the command that makes it.
        """
        try:
            found = self.store_of(asset).find(asset, self.fingerprint(asset, key), whole=True)
        except MissingUpstreamError:  # the command for what is asked for makes the patches too
            found = None
        if found is None:
            raise _missing(asset, key, stale=self.pointed(asset, key) is not None)
        return found

    def pointed(self, asset: AssetName, key: str) -> Artifact | None:
        """Return the object that was made last for an asset and key, whether it is today's or not."""
        return self.store_of(asset).pointed(asset, pointer_key(asset, key))

    def build(
        self,
        asset: AssetName,
        key: str,
        make: Callable[[Path], Mapping[str, Any]],
        progress: Callable[[str], None],
    ) -> Artifact:
        """Return the asset's object, made by `make` unless finished, and point the key at it."""
        settings = ASSETS[asset].settings(self, key)
        artifact = self.store.build(
            asset, self.fingerprint(asset, key), make, progress, self.upstream(asset, key), settings
        )
        self.store.point(asset, pointer_key(asset, key), artifact)
        return artifact

    def changes(self, asset: AssetName, key: str) -> list[str]:
        """Return why the object that a key points at isn't today's, a line for each cause; nothing if it is.

        Objects that were made before manifests held what they were made from only tell that something changed.

        Raises:
            MissingUpstreamError: if `landsat_patches` was not materialized with today's data set settings.
        """
        made = self.pointed(asset, key)
        if made is None:
            return []
        # Whether raw files changed since is known where `landsat_patches` is materialized.
        is_raw = asset == "landsat_patches"
        if made.fingerprint == (
            self.raw_fingerprint(made.facts["raw_input"]) if is_raw else self.fingerprint(asset, key)
        ):
            return []
        lines = []
        if made.uses is not None:
            used, today = dict(made.uses), dict(self.upstream(asset, key))
            lines = [f"{name} changed" for name, fingerprint in today.items() if used.get(name) != fingerprint]
            before, after, sections = made.settings, ASSETS[asset].settings(self, key), ASSETS[asset].sections
            if isinstance(after, list) and isinstance(before, list) and len(before) == len(after) == len(sections):
                for section, old, new in zip(sections, before, after, strict=True):
                    lines += differences(old, new, section)
            else:
                lines += differences(before, after, ".".join(sections[:1]))
        return lines or ["made from other settings, data or code than today's"]

    def hash_folder(self, folder: Path) -> str:
        """Return a hash of the contents of a folder's files; those that are unchanged are not read again."""
        return folder_hash(folder, self.store.root / "file_hashes.json")

    @cached_property
    def _patches(self) -> Artifact:
        """The base store; looked up once, so that a step never mixes two of them if the data changes meanwhile."""
        found = self.pointed("landsat_patches", UNPARTITIONED)
        if found is None:
            raise _missing("landsat_patches", UNPARTITIONED, stale=False)
        if found.fingerprint != self.raw_fingerprint(found.facts["raw_input"]):
            raise _missing("landsat_patches", UNPARTITIONED, stale=True)
        return found

    def store_of(self, asset: AssetName) -> ArtifactStore:
        """Return where the objects of an asset are: those of another study for patches that are shared."""
        return self.of_patches.store if asset == "landsat_patches" else self.store


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Return one line for each value that differs between two JSON values, with its place."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = dict.fromkeys([*before, *after])
        return [
            line
            for name in names
            for line in differences(before.get(name), after.get(name), f"{place}.{name}" if place else name)
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [line for old, new in pairs for line in differences(old, new, place)]
    return [] if before == after else [f"{place or 'settings'}: {before!r} -> {after!r}"]


def pointer_key(asset: AssetName, key: str) -> str:
    """Return the key under which an asset's pointer is kept."""
    return key if ASSETS[asset].per_config else UNPARTITIONED


def _missing(asset: AssetName, key: str, stale: bool) -> MissingUpstreamError:
    shared = not ASSETS[asset].per_config
    what = "was made from other settings or data than today's" if stale else "has not been made"
    command = run_command(to="scene_split") if shared else run_command(key)
    return MissingUpstreamError(f"{asset}{'' if shared else f' of {key!r}'} {what}; make it first: {command}")
