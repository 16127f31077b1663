"""Histograms of what is drawn, painted and judged, beside the real thing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import ks_2samp

from firefusion_assets.report.plots import COLOURS, STYLE

_BINS: Final = 20
_COLUMNS: Final = 3
NAMED: Final = {
    "changed_share": "share of the label that changed",
    "detected_share": "share of the label that detectors confirm",
    "nearest_distance": "distance to the nearest training fire",
    "real_error": "loss under a network trained on real data",
    "fingerprint_score": "like paint (above 0) or real, inside the mask",
}
"""Scores that aren't a rule's, in words."""

Array = npt.NDArray[np.float64]


class _Panel(NamedTuple):
    """One histogram: values of what was made, by what it is, of the real thing, and what is rejected from where on."""

    title: str
    made: dict[str, Array]
    real: Array
    limit: float = float("nan")


def scores_of(verdicts: pd.DataFrame) -> list[str]:
    """Return the columns of verdicts that hold scores of at least one patch."""
    names = [name for name in verdicts if name in NAMED or str(name).endswith("_score")]
    return [name for name in names if np.isfinite(verdicts[name].astype(float)).any()]


def limit_of(verdicts: pd.DataFrame, score: str) -> float:
    """Return the score at which patches are rejected; missing (nan) where there is none for all of them."""
    name = score.removesuffix("_score").removesuffix("_share")
    limits = verdicts.get(f"{name}_limit", pd.Series(dtype=float)).dropna().unique()
    return float(limits[0]) if len(limits) == 1 else float("nan")


def title_of(score: str) -> str:
    """Return what a score is called."""
    return NAMED.get(score, f"rule {score.removesuffix('_score')}")


def write_score_histograms(verdicts: pd.DataFrame, real: pd.DataFrame, path: Path) -> bool:
    """Draw a histogram of each score; returns whether there is one.

    Args:
        verdicts: of painted patches: passed, scores, and limits of rules' scores, which are drawn as dashed lines.
        real: scores of real fires, as `inpainting.real_scores` gives them.
        path: the PNG file.
    """
    passed = verdicts["passed"].to_numpy(bool)
    panels = [
        _Panel(
            title_of(score),
            {
                "painted, passed": verdicts[score].to_numpy(float)[passed],
                "painted, rejected": verdicts[score].to_numpy(float)[~passed],
            },
            real[score].to_numpy(float) if score in real else np.empty(0),
            limit_of(verdicts, score),
        )
        for score in scores_of(verdicts)
    ]
    if panels:
        _write(panels, "real fires", path)
    return bool(panels)


def write_form_histograms(planned: pd.DataFrame, real: pd.DataFrame, path: Path) -> None:
    """Draw what masks are like, and how far apart both kinds are by Kolmogorov and Smirnov.

    Args:
        planned: positive measures of the masks that are painted into, a column each.
        real: the same of the real masks that they are made from.
        path: the PNG file.
    """
    panels = []
    for name in planned:
        made, of_real = (np.log10(table[name].to_numpy(float)) for table in (planned, real))
        distance = ks_2samp(made, of_real).statistic
        panels.append(_Panel(f"log10 of {name}, distance {distance:.2f}", {"planned masks": made}, of_real))
    _write(panels, "real masks of the train part", path)


def _write(panels: Sequence[_Panel], real: str, path: Path) -> None:
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    # The defaults first: a user's own matplotlibrc must not change the bytes.
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(3.6 * columns, 2.5 * rows + 0.4))
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, panel in zip(axes, panels, strict=False):
            _histogram(axis, panel, real)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3)
        figure.savefig(path, metadata={"Software": None})


def _histogram(axis: Axes, panel: _Panel, real: str) -> None:
    made = {name: values[np.isfinite(values)] for name, values in panel.made.items()}
    of_real = panel.real[np.isfinite(panel.real)]
    shown = np.concatenate([*made.values(), of_real])
    low, high = shown.min(), shown.max()
    if high == low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1).tolist()
    for colour, (name, values) in zip(COLOURS, made.items(), strict=False):
        axis.hist(values, edges, weights=_shares(values), label=name, color=colour, alpha=0.55)
    axis.hist(of_real, edges, weights=_shares(of_real), label=real, color="black", lw=1.6, histtype="step")
    if np.isfinite(panel.limit):
        axis.axvline(panel.limit, color=COLOURS[1], linestyle="--", linewidth=1.2)
    axis.set_title(panel.title, fontsize=10)
    axis.set_ylabel("share of its kind")


def _shares(values: Array) -> Array:
    """Return weights that make a histogram one of shares."""
    return np.full(len(values), 1 / max(1, len(values)))
