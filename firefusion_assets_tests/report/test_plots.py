"""The charts show the figures of the comparison, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from firefusion_assets.report.plots import write_plots
from firefusion_assets.report.statistics.comparison import comparison
from firefusion_assets_tests.builders.reports import BASELINE, PASTED, inputs


def test_each_replicate_is_one_mark_and_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[float]] = []
    plain = Axes.plot

    def noted(self: Axes, *values: Any, **looks: Any) -> Any:
        drawn.append(np.atleast_1d(np.asarray(values[0], float)).tolist())
        return plain(self, *values, **looks)

    monkeypatch.setattr(Axes, "plot", noted)
    given = inputs()
    table = comparison(given)
    assert table["dice_of_100_px"].notna().any(), "a Dice of large fires is no replicate's"
    write_plots(given, table, tmp_path)
    for dice in (BASELINE, PASTED):
        assert [pytest.approx(100 * figure) for figure in dice] in drawn
