"""Histograms show what was measured, and how far masks are from real ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from firefusion_assets.report.histograms import limit_of, scores_of, write_form_histograms, write_score_histograms


def test_histograms_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    verdicts = pd.DataFrame(
        {
            "passed": [True, False, True],
            "changed_share": [1.0, 0.2, 0.9],
            "seam_score": [np.nan, np.nan, np.nan],
            "nearest_distance": [0.4, np.nan, np.inf],
            "label_pixels": [3, 4, 5],
        }
    )
    assert scores_of(verdicts) == ["changed_share", "nearest_distance"]
    real = pd.DataFrame({"patch_id": ["p"], "nearest_distance": [0.7]})
    assert write_score_histograms(verdicts, real, tmp_path / "scores.png")
    with Image.open(tmp_path / "scores.png") as picture:
        assert picture.width > 600
    alone = write_score_histograms(verdicts, pd.DataFrame(), tmp_path / "alone.png")
    assert alone and (tmp_path / "alone.png").read_bytes() != (tmp_path / "scores.png").read_bytes()
    nothing = verdicts.drop(columns=["changed_share", "nearest_distance"])
    assert not write_score_histograms(nothing, real, tmp_path / "none.png")


def test_the_distance_between_masks_is_that_of_kolmogorov_and_smirnov(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    plain = Axes.set_title

    def noted(self: Axes, label: str, *arguments: Any, **others: Any) -> Any:
        titles.append(label)
        return plain(self, label, *arguments, **others)

    monkeypatch.setattr(Axes, "set_title", noted)
    rng = np.random.default_rng(1)
    planned = pd.DataFrame({"pixels": rng.integers(1, 50, 40), "pieces": rng.integers(1, 4, 40)})
    real = pd.DataFrame({"pixels": rng.integers(20, 90, 30), "pieces": [1] * 30})
    write_form_histograms(planned, real, tmp_path / "forms.png")
    with Image.open(tmp_path / "forms.png") as picture:
        assert picture.width > 600
    for name, title in zip(planned, titles, strict=True):
        values = np.unique([*planned[name], *real[name]])
        shares = [np.array([(table[name] <= value).mean() for value in values]) for table in (planned, real)]
        assert title == f"log10 of {name}, distance {np.abs(shares[0] - shares[1]).max():.2f}"


def test_a_limit_is_known_where_it_is_one_for_all() -> None:
    verdicts = pd.DataFrame({"seam_score": [1.0, 4.0], "seam_limit": [3.0, np.nan], "cold_limit": [0.2, 0.3]})
    assert limit_of(verdicts, "seam_score") == 3
    assert np.isnan(limit_of(verdicts, "cold_score")) and np.isnan(limit_of(verdicts, "changed_share"))
    shares = pd.DataFrame({"changed_share": [0.8, 0.8], "changed_limit": [0.6, 0.6], "detected_share": [1.0, 1.0]})
    assert limit_of(shares, "changed_share") == 0.6
    assert np.isnan(limit_of(shares, "detected_share")), "all patches alike make no limit"
