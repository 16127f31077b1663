"""The assets of the lineage, each stated once: what it is made from, and which settings change it.

How an asset is made is in `steps`; how Dagster shows and runs it is in `orchestration`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from firefusion_assets.lineage.fingerprints import Lineage


AssetName = Literal[
    "landsat_patches", "scene_split", "augmentation_config", "finetuned_model", "inpainting_masks", "synthetic_images",
    "screened_images", "augmented_lmdb", "trained_unet", "dice_metrics", "augmentation_report",
]  # fmt: skip
"""The names, so that mypy finds a wrong one."""

REPORT: Final[AssetName] = "augmentation_report"
"""The one asset that is made from all configs."""

TRAIN_STATISTICS: Final = "train_statistics"
"""Statistics of a fold's train part, built by the first step that asks for them."""

REAL_NETWORK: Final = "real_network"
"""A network trained on a fold's train part alone, built by the first step that asks for it."""


@dataclass(frozen=True)
class Asset:
    """One asset.

    Attributes:
        name: its name, in Dagster and in the artifact store.
        version: raise it when the code makes other objects from the same input.
        upstream: the assets that it is made from.
        settings: returns the part of study and config, as JSON values, that its object depends on, given the lineage
            and the key of a config.
        per_config: one object for each config; otherwise one for each study.
        parts: objects without a key of their own that its step builds on the way, by their names in the store.
        pieces: name in the store of the objects that it is put together from, which may be made by several steps; see
            `lineage.pieces`. Empty if it is made in one piece.
        sections: where in study and config the settings stand, one by one where they are a list; for messages alone.
    """

    name: AssetName
    version: int
    upstream: tuple[AssetName, ...]
    settings: Callable[["Lineage", str], Any]
    per_config: bool = True
    parts: tuple[str, ...] = ()
    pieces: str = ""
    sections: tuple[str, ...] = ()


def _patches(lineage: "Lineage", key: str) -> Any:
    from firefusion_assets.study.source import PICTURES_ALONE  # the command's help imports this table

    return [lineage.study.name, lineage.study.dataset.model_dump(mode="json", exclude=PICTURES_ALONE)]


def _split(lineage: "Lineage", key: str) -> Any:
    return lineage.study.split.model_dump(mode="json")


def _config(lineage: "Lineage", key: str) -> Any:
    return lineage.config(key).model_dump(mode="json")


def _model(lineage: "Lineage", key: str) -> Any:
    part = lineage.config(key).generator.fingerprint_part(lineage.config_folder(key), lineage.hash_folder)
    return [part, _replicates(lineage, key) if lineage.study.replicates.refit else None]


def _masks(lineage: "Lineage", key: str) -> Any:
    config = lineage.config(key)
    # Where nothing is painted, no limit of a background makes another object.
    backgrounds = lineage.study.backgrounds.model_dump(mode="json") if config.sampling.tries else None
    rows = _sampling(lineage, key, ("tries", "pairing", "seeds_per_pair", "seed"))
    return [backgrounds, config.masks.model_dump(mode="json"), rows, _replicates(lineage, key)]


def _replicates(lineage: "Lineage", key: str) -> dict[str, int]:
    return {"count": lineage.study.replicates.count, "first": lineage.config(key).replicate_offset}


def _painted(lineage: "Lineage", key: str) -> Any:
    # Painting stops when enough patches pass the screening, so that belongs to its object too; the painted chunks
    # themselves are objects of their own and don't depend on it.
    return [_sampling(lineage, key), lineage.config(key).screening.model_dump(mode="json")]


def _screening(lineage: "Lineage", key: str) -> Any:
    config = lineage.config(key)
    settings = config.screening.model_dump(mode="json")
    return [settings, real_network_settings(lineage)] if config.asks_network else settings


def real_network_settings(lineage: "Lineage") -> list[Any]:
    """Return the settings that `REAL_NETWORK` depends on."""
    study = lineage.study
    return [study.training.model_dump(mode="json"), study.evaluation.threshold, study.replicates.seed]


def _nothing(lineage: "Lineage", key: str) -> Any:
    return None


def _training(lineage: "Lineage", key: str) -> Any:
    study = lineage.study
    return [
        study.training.model_dump(mode="json"),
        study.evaluation.threshold,
        {**_replicates(lineage, key), "seed": study.replicates.seed},
    ]


def _evaluation(lineage: "Lineage", key: str) -> Any:
    return lineage.study.evaluation.model_dump(mode="json")


def _sampling(lineage: "Lineage", key: str, names: Iterable[str] | None = None) -> dict[str, Any]:
    sampling = lineage.config(key).sampling
    settings = sampling.model_dump(mode="json") | {"tries": sampling.tries}
    return settings if names is None else {name: settings[name] for name in names}


ASSETS: Final[Mapping[AssetName, Asset]] = {
    asset.name: asset
    for asset in (
        Asset(
            "landsat_patches", 3, (), _patches, per_config=False, parts=("made_scenes",), sections=("name", "dataset")
        ),
        Asset("scene_split", 3, ("landsat_patches",), _split, per_config=False, sections=("split",)),
        Asset("augmentation_config", 1, (), _config),
        Asset(
            "finetuned_model",
            6,
            ("landsat_patches", "scene_split", "augmentation_config"),
            _model,
            parts=(TRAIN_STATISTICS,),
            pieces="fitted_models",
            sections=("generator", "replicates"),
        ),
        Asset(
            "inpainting_masks",
            4,
            ("landsat_patches", "scene_split", "augmentation_config"),
            _masks,
            sections=("backgrounds", "masks", "sampling", "replicates"),
        ),
        Asset(
            "synthetic_images",
            7,
            ("landsat_patches", "finetuned_model", "inpainting_masks"),
            _painted,
            parts=("painted_chunks", TRAIN_STATISTICS, REAL_NETWORK),
            pieces="painted_replicates",
            sections=("sampling", "screening"),
        ),
        Asset(
            "screened_images",
            6,
            ("synthetic_images", "inpainting_masks", "landsat_patches", "scene_split"),
            _screening,
            parts=(TRAIN_STATISTICS, REAL_NETWORK),
            sections=("screening",),
        ),
        Asset("augmented_lmdb", 3, ("screened_images", "synthetic_images"), _nothing),
        Asset(
            "trained_unet",
            4,
            ("landsat_patches", "scene_split", "augmented_lmdb"),
            _training,
            parts=(TRAIN_STATISTICS,),
            pieces="trained_networks",
            sections=("training", "evaluation.threshold", "replicates"),
        ),
        Asset(
            "dice_metrics",
            3,
            ("trained_unet", "landsat_patches", "scene_split"),
            _evaluation,
            pieces="scored_networks",
            sections=("evaluation",),
        ),
        # Its object depends on the figures of all configs; `steps.collecting` says how.
        Asset(REPORT, 11, ("dice_metrics",), _nothing, per_config=False, parts=("detector_scores",)),
    )
}
"""All assets in the order of the lineage."""
