"""The report's statistics of a large study against resampling its rows with pandas."""

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from firefusion_assets.report.inputs import METRICS, ConfigResult, ReportInputs
from firefusion_assets.report.statistics.contrasts import contrasts
from firefusion_assets.study.models import Study

_ARMS, _FOLDS, _REPLICATES, _GROUPS, _PATCHES = 10, 5, 8, 20, 10
_DRAWS, _PLAIN_DRAWS = 2000, 5


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield seconds of all contrasts of 10 configs, 5 folds, 8 replicates and 20 groups."""
    rng = np.random.default_rng(1)
    configs = [_config(f"arm-{number}", rng) for number in range(_ARMS - 1)] + [_config("baseline", rng)]
    study = Study.model_validate(
        {"name": "bench", "dataset": {"source": "simulated"}, "training": {"bands": ["B7"]}, "split": {"folds": _FOLDS}}
    )
    inputs = ReportInputs(study, ("B7",), {}, pd.DataFrame(), configs)
    start = time.perf_counter()
    found = contrasts(inputs)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(_PLAIN_DRAWS):
        _plain_draw(configs[0].patches, configs[-1].patches, rng)
    plain = (time.perf_counter() - start) * len(found) * _DRAWS / _PLAIN_DRAWS
    yield "claims of 10 configs x 5 folds x 8 replicates, s (pandas)", ours, plain


def _config(key: str, rng: np.random.Generator) -> ConfigResult:
    index = pd.MultiIndex.from_product(
        [range(_FOLDS), range(_REPLICATES), range(_GROUPS // _FOLDS), range(_PATCHES)],
        names=["fold", "replicate", "group", "patch_id"],
    )
    rows = index.to_frame(index=False)
    rows["group"] = rows["fold"].astype(str) + "-" + rows["group"].astype(str)
    rows = rows.assign(scene=rows["group"], fire_pixels=100, area_km2=10.0)
    for name in ("tp", "fp", "fn"):
        rows[name] = rng.integers(10, 90, len(rows))
    metrics = pd.DataFrame({"fold": [0], "replicate": [0], **{name: [0.5] for name in METRICS}})
    return ConfigResult(key, "", "none", "current", metrics=metrics, patches=rows)


def _plain_draw(first: pd.DataFrame, other: pd.DataFrame, rng: np.random.Generator) -> float:
    drawn = rng.choice(first["group"].unique(), _GROUPS)
    differences = []
    for rows in (first, other):
        sums = (
            pd.concat([rows[rows["group"] == group] for group in drawn]).groupby("replicate")[["tp", "fp", "fn"]].sum()
        )
        differences.append(2 * sums["tp"] / (2 * sums["tp"] + sums["fp"] + sums["fn"]))
    return float((differences[0] - differences[1]).sample(_REPLICATES, replace=True, random_state=1).mean())
