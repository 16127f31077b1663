"""What the report shows, collected from the objects that the keys point at."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd
import yaml

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.making import only_looked_at
from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.ingest.base_store import BAD_FILES, left_out
from firefusion_assets.inpainting.backgrounds import count_reasons, judge, summary
from firefusion_assets.landsat.detectors import DETECTOR_BANDS, SUNLESS_DETECTORS
from firefusion_assets.lineage.assets import REPORT, AssetName
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, read_folds
from firefusion_assets.report.inputs import (
    SHARED,
    ConfigResult,
    DetectorResult,
    PredictionExample,
    ReportInputs,
    Roles,
)
from firefusion_assets.report.painted_examples import load_examples
from firefusion_assets.steps.overview import Failures, overview, prices, unmet_checks
from firefusion_assets.steps.scoring import score_detector, worst_predictions
from firefusion_assets.steps.screening import GALLERY
from firefusion_assets.steps.status import asset_state, orphans
from firefusion_assets.study import augmentation_keys

_COSTLY: Final[tuple[AssetName, ...]] = ("finetuned_model", "synthetic_images", "trained_unet", "dice_metrics")
_SCORES = "detector_scores"
_NOTES = {
    "missing": "Not measured yet: {}",
    "stale": "Measured with other settings or data than today's; measure again: {}",
}


def collect(lineage: Lineage, failures: Callable[[], Failures]) -> ReportInputs:
    """Return the inputs of the report over all configs of the study; see `steps.overview.overview`."""
    folds = read_folds(lineage)
    patches = lineage.find("landsat_patches", UNPARTITIONED)
    data = patches.facts
    split = lineage.find("scene_split", UNPARTITIONED).facts
    judged = judge(folds[0].table, lineage.study.backgrounds, lineage.study.dataset.patch_size)
    configs = [_config(lineage, key) for key in augmentation_keys(lineage.folder)]
    shown = ("n_patches", "n_scenes", "n_fire_patches", "fire_pixels", "n_empty_patches")
    return ReportInputs(
        study=lineage.study,
        data={
            **{name: data[name] for name in shown},
            "n_groups": split["n_groups"],
            "backgrounds": summary(judged),
            "reasons_of_rejected_backgrounds": [f"{kind}: {n} patches" for kind, n in count_reasons(judged).items()],
            "left_out": left_out(data),
            "skipped_files": pd.read_csv(patches.path / BAD_FILES)["problem"].tolist(),
        },
        split=pd.DataFrame(split["parts"]),
        configs=configs,
        detectors=_detectors(lineage, folds),
        orphans=orphans(lineage),
        predictions=_predictions(lineage, folds[0], configs),
        states=_states(lineage, failures),
        looked_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _states(lineage: Lineage, failures: Callable[[], Failures]) -> pd.DataFrame:
    with only_looked_at():  # else the report would keep alive what is stale
        # The report itself is being made.
        states = [state for state in overview(lineage, failures) if state.asset != REPORT]
        return pd.DataFrame(
            {
                "key": state.key or SHARED,
                "asset": state.asset,
                "state": state.state,
                "why": state.why,
                "checks": ", ".join(unmet_checks(lineage, state)),
                **price._asdict(),
            }
            for state, price in zip(states, prices(states), strict=True)
        )


def _config(lineage: Lineage, key: str) -> ConfigResult:
    metrics = asset_state(lineage, "dice_metrics", key)
    if metrics.state == "invalid":
        return ConfigResult(key=key, description="", engine="", status="invalid", note=metrics.why)
    # A page may be read anywhere: without the study's folder its commands would be about the demo.
    note = _NOTES.get(metrics.state, "").format(f"{metrics.command} --study FOLDER")
    config = lineage.config(key)
    engine, description = config.generator.engine, config.description
    generator = config.generator
    # Also of what isn't measured: which contrasts the study names doesn't depend on it.
    roles = Roles(generator.paints, generator.copies, generator.expected(lineage.study))
    if metrics.artifact is None:
        return ConfigResult(key, description, engine, "missing", note, **roles._asdict())
    measured = metrics.artifact.path
    summary, patches = (pd.read_parquet(measured / f"{name}.parquet") for name in ("summary", "patches"))
    if metrics.state == "stale":
        return ConfigResult(key, description, engine, "stale", note, summary, patches, **roles._asdict())
    screened, trained = lineage.find("screened_images", key), lineage.find("trained_unet", key)
    return ConfigResult(
        key=key,
        description=description,
        engine=engine,
        status="current",
        metrics=summary,
        patches=patches,
        history=pd.read_parquet(trained.path / "history.parquet"),
        facts={name: value for name, value in screened.facts.items() if not isinstance(value, list)}
        | {"n_images": lineage.find("augmented_lmdb", key).facts["n_added"]},
        cost={asset: lineage.find(asset, key).cost["seconds"] for asset in _COSTLY},
        painted=load_examples(screened.path / "examples.npz"),
        gallery=_gallery(screened),
        settings=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        **roles._asdict(),
    )


def _gallery(screened: Artifact) -> str:
    file = screened.path / GALLERY
    return f"../../{screened.asset}/{screened.fingerprint}/{GALLERY}" if file.is_file() else ""


def _predictions(lineage: Lineage, fold: Fold, configs: Sequence[ConfigResult]) -> list[PredictionExample]:
    """Return the worst predictions of current configs, the baseline's first; controls would show theirs alone."""
    baseline = lineage.study.report.baseline
    current = [one for one in configs if one.status == "current" and not one.expected]
    current.sort(key=lambda one: one.key != baseline)
    measured = {config.key: lineage.find("dice_metrics", config.key).path for config in current}
    return worst_predictions(fold, measured, [config.patches for config in current]) if current else []


def _detectors(lineage: Lineage, folds: Sequence[Fold]) -> list[DetectorResult]:
    """Score the detectors that the stored bands allow."""
    if not lineage.study.dataset.landsat:
        return []
    stored = set(lineage.study.dataset.bands)
    possible = [name for name, bands in DETECTOR_BANDS.items() if stored.issuperset(bands)]
    if not possible:
        return [DetectorResult("detectors", note="need more of the Landsat bands B1 to B7 in dataset.bands")]
    if folds[0].table["sun_elevation"].isna().any():
        sunless = [name for name in possible if name in SUNLESS_DETECTORS]
        unknown = DetectorResult("other detectors", note="need a sun elevation: set dataset.sun_elevation")
        return [*(_scored(lineage, folds, name) for name in sunless), unknown]
    return [_scored(lineage, folds, name) for name in possible]


def _scored(lineage: Lineage, folds: Sequence[Fold], name: str) -> DetectorResult:
    made_from = [lineage.find(asset, UNPARTITIONED).fingerprint for asset in ("landsat_patches", "scene_split")]

    def make(work: Any) -> dict[str, Any]:
        for table, rows in zip(("summary", "patches"), score_detector(name, folds), strict=True):
            rows.to_parquet(work / f"{table}.parquet", index=False)
        return {"detector": name}

    # An object of its own: it depends on the data alone, and every run of every config comes by here.
    scores = lineage.store.build(_SCORES, digest([_SCORES, 3, name, lineage.study.evaluation.part, made_from]), make)
    return DetectorResult(
        name, *(pd.read_parquet(scores.path / f"{table}.parquet") for table in ("summary", "patches"))
    )
