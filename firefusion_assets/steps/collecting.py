"""What the report shows, collected from the objects that the keys point at."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import yaml

from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.store import UNPARTITIONED, Artifact
from firefusion_assets.ingest.base_store import BAD_FILES
from firefusion_assets.inpainting.backgrounds import count_reasons, judge, summary
from firefusion_assets.landsat.detectors import DETECTOR_BANDS, SUNLESS_DETECTORS
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.lineage.fingerprints import Lineage, MissingUpstreamError
from firefusion_assets.lineage.folds import Fold, read_folds
from firefusion_assets.report.inputs import ConfigResult, DetectorResult, ReportInputs
from firefusion_assets.report.painted_examples import load_examples
from firefusion_assets.steps.scoring import prediction_examples, score_detector
from firefusion_assets.study import StudyError, augmentation_keys

_COSTLY = ("finetuned_model", "synthetic_images", "trained_unet", "dice_metrics")
_SCORES = "detector_scores"


def report_fingerprint(lineage: Lineage) -> str:
    """Return what the report depends on: the study, the data, and each config's state and figures."""
    figures = []
    for key in augmentation_keys(lineage.folder):
        status, metrics, _ = _state(lineage, key)
        figures.append([key, status, metrics and metrics.fingerprint])
    data = [lineage.find(asset, UNPARTITIONED).fingerprint for asset in ("landsat_patches", "scene_split")]
    study = lineage.study.model_dump(mode="json")
    orphans = _orphans(lineage)
    return digest([ASSETS["augmentation_report"].version, study, data, figures, orphans])


def collect(lineage: Lineage) -> ReportInputs:
    """Return the inputs of the report over all configs of the study."""
    folds = read_folds(lineage)
    patches = lineage.find("landsat_patches", UNPARTITIONED)
    data = patches.facts
    split = lineage.find("scene_split", UNPARTITIONED).facts
    judged = judge(folds[0].table, lineage.study.backgrounds, lineage.study.dataset.patch_size)
    shown = ("n_patches", "n_scenes", "n_fire_patches", "fire_pixels", "n_empty_patches")
    return ReportInputs(
        study=lineage.study,
        bands=folds[0].train.meta.bands,
        data={
            **{name: data[name] for name in shown},
            "n_groups": split["n_groups"],
            "backgrounds": summary(judged),
            "reasons_of_rejected_backgrounds": [f"{kind}: {n} patches" for kind, n in count_reasons(judged).items()],
            "skipped_files": pd.read_csv(patches.path / BAD_FILES)["problem"].tolist(),
        },
        split=_split_table(folds, split["parts"]),
        configs=[_config(lineage, key, folds[0]) for key in augmentation_keys(lineage.folder)],
        detectors=_detectors(lineage, folds),
        orphans=_orphans(lineage),
    )


def _state(lineage: Lineage, key: str) -> tuple[str, Artifact | None, str]:
    """Return a config's state, its metrics' object if it has one, and what to do."""
    pointed = lineage.pointed("dice_metrics", key)
    try:
        today = lineage.fingerprint("dice_metrics", key)
    except StudyError as error:
        return "invalid", None, str(error)
    except MissingUpstreamError as error:
        return "missing", None, str(error)
    current = lineage.store.find("dice_metrics", today)
    if current is not None:
        return "current", current, ""
    remedy = f"dagster asset materialize -m firefusion_assets.definitions --select '*' --partition {key}"
    if pointed is None:
        return "missing", None, f"not measured yet: {remedy}"
    return "stale", pointed, f"measured with other settings or data than today's; measure again: {remedy}"


def _config(lineage: Lineage, key: str, fold: Fold) -> ConfigResult:
    status, metrics, note = _state(lineage, key)
    if status == "invalid":
        return ConfigResult(key=key, description="", engine="", status="invalid", note=note)
    config = lineage.config(key)
    engine, description = config.generator.engine, config.description
    if metrics is None:
        return ConfigResult(key, description, engine, "missing", note)
    summary = pd.read_parquet(metrics.path / "summary.parquet")
    if status == "stale":
        return ConfigResult(key, description, engine, "stale", note, summary)
    screened, trained = lineage.find("screened_images", key), lineage.find("trained_unet", key)
    return ConfigResult(
        key=key,
        description=description,
        engine=engine,
        status="current",
        metrics=summary,
        history=pd.read_parquet(trained.path / "history.parquet"),
        facts={name: value for name, value in screened.facts.items() if not isinstance(value, list)},
        cost={asset: lineage.find(asset, key).cost["seconds"] for asset in _COSTLY},
        painted=load_examples(screened.path / "examples.npz"),
        predictions=prediction_examples(fold, metrics.path / "predictions.npz"),
        settings=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    )


def _detectors(lineage: Lineage, folds: Sequence[Fold]) -> list[DetectorResult]:
    """Score the detectors that the stored bands allow."""
    if lineage.study.dataset.source == "folder":
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
        score_detector(name, folds).to_parquet(work / "scores.parquet", index=False)
        return {"detector": name}

    # An object of its own: it depends on the data alone, and every run of every config comes by here.
    scores = lineage.store.build(_SCORES, digest([_SCORES, 2, name, lineage.study.evaluation.part, made_from]), make)
    return DetectorResult(name, pd.read_parquet(scores.path / "scores.parquet"))


def _split_table(folds: Sequence[Fold], parts: Sequence[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(parts)
    fire_scenes = [
        folds[fold].table.loc[getattr(folds[fold], part).ids].query("fire_pixels > 0")["scene"].nunique()
        for fold, part in zip(table["fold"], table["part"], strict=True)
    ]
    return table.assign(n_fire_scenes=fire_scenes)


def _orphans(lineage: Lineage) -> list[str]:
    live = set(augmentation_keys(lineage.folder))
    return [key for key in lineage.store.keys("dice_metrics") if key not in live]
