"""Which object belongs to which asset and key today: fingerprints by the table of the lineage.

A fingerprint is a hash of the asset's step version, its part of study and config, and the fingerprints of its
upstream assets. Raw input enters where `landsat_patches` is materialized; from there on its object is looked up,
so that no later step has to list the raw input again.
"""

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from firefusion_assets.artifacts.hashes import digest, folder_hash
from firefusion_assets.artifacts.store import UNPARTITIONED, Artifact, ArtifactStore
from firefusion_assets.study import Augmentation, Study, load_augmentation, load_study

STEP_VERSIONS: Final = {
    "landsat_patches": 2,
    "scene_split": 1,
    "augmentation_config": 1,
    "finetuned_model": 1,
    "inpainting_masks": 2,
    "synthetic_images": 1,
    "screened_images": 1,
    "augmented_lmdb": 1,
    "trained_unet": 1,
    "dice_metrics": 1,
    "augmentation_report": 2,
}
"""Raise an asset's number when its code makes other objects from the same input."""

UPSTREAM: Final[Mapping[str, tuple[str, ...]]] = {
    "landsat_patches": (),
    "scene_split": ("landsat_patches",),
    "augmentation_config": (),
    "finetuned_model": ("landsat_patches", "scene_split", "augmentation_config"),
    "inpainting_masks": ("landsat_patches", "scene_split", "augmentation_config"),
    "synthetic_images": ("landsat_patches", "finetuned_model", "inpainting_masks"),
    "screened_images": ("synthetic_images", "inpainting_masks", "landsat_patches", "scene_split"),
    "augmented_lmdb": ("screened_images", "synthetic_images"),
    "trained_unet": ("landsat_patches", "scene_split", "augmented_lmdb"),
    "dice_metrics": ("trained_unet", "landsat_patches", "scene_split"),
    "augmentation_report": ("dice_metrics",),
}
"""The edges of the lineage."""

SHARED_ASSETS: Final = ("landsat_patches", "scene_split", "augmentation_report")
"""Assets that exist once a study; all others exist once a config."""


class MissingUpstreamError(RuntimeError):
    """What an asset reads was not made, or was made from other settings. The message says how to make it."""


class Lineage:
    """The objects of one study.

    Args:
        folder: the study folder.
        store: where the objects lie.
    """

    def __init__(self, folder: Path, store: ArtifactStore) -> None:
        self.folder = folder
        self.store = store
        self._configs: dict[str, Augmentation] = {}

    @cached_property
    def study(self) -> Study:
        """The study's settings."""
        return load_study(self.folder)

    def config(self, key: str) -> Augmentation:
        """Return the augmentation config of a key."""
        if key not in self._configs:
            self._configs[key] = load_augmentation(self.folder, key, self.study)
        return self._configs[key]

    def raw_fingerprint(self, raw_input: Any) -> str:
        """Return the fingerprint of `landsat_patches` for the raw input as it is listed now."""
        return digest(["landsat_patches", STEP_VERSIONS["landsat_patches"], self._part("landsat_patches"), raw_input])

    def fingerprint(self, asset: str, key: str) -> str:
        """Return today's fingerprint of an asset.

        Args:
            asset: any asset but the report, whose object depends on all keys.
            key: partition key; ignored by assets that exist once a study.

        Raises:
            MissingUpstreamError: if `landsat_patches` was not materialized with today's data set settings.
        """
        if asset == "landsat_patches":
            return self._patches.fingerprint
        upstream = [self.fingerprint(name, key) for name in UPSTREAM[asset] if name != "augmentation_config"]
        return digest([asset, STEP_VERSIONS[asset], self._part(asset, key), upstream])

    def find(self, asset: str, key: str) -> Artifact:
        """Return the finished object that an asset's materialization of today published.

        Raises:
            MissingUpstreamError: if there is none; the message holds the command that makes it.
        """
        found = self.store.find(asset, self.fingerprint(asset, key))
        if found is None:
            raise _missing(asset, key, stale=self.store.pointed(asset, pointer_key(asset, key)) is not None)
        return found

    def build(
        self,
        asset: str,
        key: str,
        make: Callable[[Path], Mapping[str, Any]],
        progress: Callable[[str], None],
    ) -> Artifact:
        """Return the asset's object, made by `make` unless finished, and point the key at it."""
        artifact = self.store.build(asset, self.fingerprint(asset, key), make, progress)
        self.store.point(asset, pointer_key(asset, key), artifact)
        return artifact

    @cached_property
    def _patches(self) -> Artifact:
        """The base store; looked up once, so that a step never mixes two of them if the data changes meanwhile."""
        found = self.store.pointed("landsat_patches", UNPARTITIONED)
        if found is None:
            raise _missing("landsat_patches", UNPARTITIONED, stale=False)
        if found.fingerprint != self.raw_fingerprint(found.facts["raw_input"]):
            raise _missing("landsat_patches", UNPARTITIONED, stale=True)
        return found

    def _part(self, asset: str, key: str = UNPARTITIONED) -> Any:
        """Return the part of study and config that an asset's object depends on."""
        study = self.study
        match asset:
            case "landsat_patches":
                return [study.name, study.dataset.model_dump(mode="json")]
            case "scene_split":
                return study.split.model_dump(mode="json")
            case "trained_unet":
                return [study.training.model_dump(mode="json"), study.evaluation.threshold]
            case "dice_metrics":
                return study.evaluation.model_dump(mode="json")
            case "augmented_lmdb":
                return None
        config = self.config(key)
        sampling = config.sampling.model_dump(mode="json") | {"tries": config.sampling.tries}
        match asset:
            case "augmentation_config":
                return config.model_dump(mode="json")
            case "finetuned_model":
                return config.generator.fingerprint_part(self.folder, self._hash_folder)
            case "inpainting_masks":
                settings = ("tries", "pairing", "seed")
                # Where nothing is painted, no limit of a background makes another object.
                backgrounds = study.backgrounds.model_dump(mode="json") if config.sampling.tries else None
                return [backgrounds, config.masks.model_dump(mode="json"), {name: sampling[name] for name in settings}]
            case "synthetic_images":
                # Painting stops when enough patches pass the screening, so that belongs to its object too; the
                # painted chunks themselves are objects of their own and don't depend on it.
                return [sampling, config.screening.model_dump(mode="json")]
            case "screened_images":
                return config.screening.model_dump(mode="json")
        raise ValueError(f"{asset} has no fingerprint by key")

    def _hash_folder(self, folder: Path) -> str:
        return folder_hash(folder, self.store.root / "file_hashes.json")


def pointer_key(asset: str, key: str) -> str:
    """Return the key under which an asset's pointer is kept."""
    return UNPARTITIONED if asset in SHARED_ASSETS else key


def _missing(asset: str, key: str, stale: bool) -> MissingUpstreamError:
    partition = "" if asset in SHARED_ASSETS else f" --partition {key}"
    # For a key everything that is finished is found, so that selecting all costs no more than the missing part.
    selection = "landsat_patches,scene_split" if asset in SHARED_ASSETS else "*"
    what = "was made from other settings or data than today's" if stale else "has not been made"
    return MissingUpstreamError(
        f"{asset}{f' of {key!r}' if partition else ''} {what}; materialize it first: "
        f"dagster asset materialize -m firefusion_assets.definitions --select '{selection}'{partition}"
    )


def study_folder() -> Path:
    """Return the study folder: FIREFUSION_STUDY, by default the demo that comes with the project."""
    default = Path(__file__).parents[2] / "data" / "demo"
    return Path(os.environ.get("FIREFUSION_STUDY") or default).resolve()


def open_lineage() -> Lineage:
    """Return the lineage of `study_folder`, its objects in FIREFUSION_ARTIFACTS or `<study>/artifacts`."""
    folder = study_folder()
    artifacts = Path(os.environ.get("FIREFUSION_ARTIFACTS") or folder / "artifacts")
    return Lineage(folder, ArtifactStore(artifacts.resolve()))
