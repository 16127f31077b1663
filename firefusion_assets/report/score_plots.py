"""Histograms of what screening measured: painted patches beside real fires."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from firefusion_assets.report.plots import COLOURS, STYLE

_BINS: Final = 20
_COLUMNS: Final = 3
NAMED: Final = {
    "changed_share": "share of the label that changed",
    "detected_share": "share of the label that detectors confirm",
    "nearest_distance": "distance to the nearest training fire",
}
"""Scores that aren't a rule's, in words."""


def scores_of(verdicts: pd.DataFrame) -> list[str]:
    """Return the columns of verdicts that hold scores of at least one patch."""
    names = [name for name in verdicts if name in NAMED or str(name).endswith("_score")]
    return [name for name in names if np.isfinite(verdicts[name].astype(float)).any()]


def title_of(score: str) -> str:
    """Return what a score is called."""
    return NAMED.get(score, f"rule {score.removesuffix('_score')}")


def write_score_plots(verdicts: pd.DataFrame, real: pd.DataFrame, path: Path) -> bool:
    """Draw a histogram of each score; returns whether there is one.

    Args:
        verdicts: of painted patches: accepted, and scores.
        real: scores of real fires, as `inpainting.real_scores` gives them.
        path: the PNG file.
    """
    scores = scores_of(verdicts)
    if not scores:
        return False
    rows = -(-len(scores) // _COLUMNS)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(3.6 * _COLUMNS, 2.5 * rows + 0.4))
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axis, score in zip(axes, scores, strict=False):
            _histogram(axis, score, verdicts, real)
        for axis in axes[len(scores) :]:
            axis.set_axis_off()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3)
        figure.savefig(path, metadata={"Software": None})
    return True


def _histogram(axis: Axes, score: str, verdicts: pd.DataFrame, real: pd.DataFrame) -> None:
    accepted = verdicts["accepted"].to_numpy(bool)
    painted = verdicts[score].to_numpy(float)
    of_real = real[score].to_numpy(float) if score in real else np.empty(0)
    shown = np.concatenate([painted, of_real])
    low, high = np.nanmin(shown[np.isfinite(shown)]), np.nanmax(shown[np.isfinite(shown)])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1).tolist()
    for values, name, colour in (
        (painted[accepted], "accepted", COLOURS[0]),
        (painted[~accepted], "rejected or surplus", COLOURS[1]),
    ):
        values = values[np.isfinite(values)]
        axis.hist(values, edges, weights=_shares(values), color=colour, alpha=0.55, label=f"painted, {name}")
    of_real = of_real[np.isfinite(of_real)]
    axis.hist(of_real, edges, weights=_shares(of_real), histtype="step", color="black", lw=1.6, label="real fires")
    axis.set_title(title_of(score), fontsize=10)
    axis.set_ylabel("share of its kind")


def _shares(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return weights that make a histogram one of shares."""
    return np.full(len(values), 1 / max(1, len(values)))
