"""The report's charts, as PNG files.

Colours are Okabe and Ito's; a marker, a name or a line style says the same as the colour does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from firefusion_assets.report.inputs import ReportInputs

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_LINES: Final = ("-", "--", ":", "-.")
_GREY, _STALE = "#666666", "#999999"
_WIDTH = 9.0
STYLE: Final = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
    "savefig.dpi": 130,
}


def write_plots(inputs: ReportInputs, table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Draw all charts that there are figures for.

    Args:
        inputs: what the report is made from.
        table: the comparison of these inputs.
        folder: where the files go; must exist.

    Returns:
        name to file, of `dice`, `errors`, `dose`, `training` and `cost`.
    """
    measured = table[table["dice_mean"].notna()]
    # The defaults first: a user's own matplotlibrc must not change the bytes.
    with style.context(["default", STYLE]):
        figures: dict[str, Figure] = {}
        if (measured["engine"] != "detector").any():
            figures["dice"] = _dice(measured, inputs)
        if not measured.empty:
            figures["errors"] = _errors(measured)
        if not (doses := _doses(measured, inputs)).empty:
            figures["dose"] = _curve(doses, "images that a config adds to each training")
        histories = {
            config.key if config.status == "current" else f"{config.key} ({config.status})": config.history
            for config in inputs.ordered_configs
            if not config.history.empty
        }
        if histories:
            figures["training"] = _training(histories)
        if any(config.cost for config in inputs.configs):
            figures["cost"] = _cost(inputs)
        files = {name: folder / f"{name}.png" for name in figures}
        for name, figure in figures.items():
            figure.savefig(files[name], metadata={"Software": None})
    return files


def write_training_curves(history: pd.DataFrame, label: str, path: Path) -> None:
    """Draw the training of one config's U-Nets.

    Args:
        history: fold, replicate, step, train_loss, val_dice_micro.
        label: name of the config.
        path: the PNG file.
    """
    with style.context(["default", STYLE]):
        _training({label: history}).savefig(path, metadata={"Software": None})


def write_scarcity_curve(rows: pd.DataFrame, path: Path) -> None:
    """Draw Dice against burning train patches, a line a config; bars are the standard deviation over replicates.

    Args:
        rows: key, fire_patches, dice_mean, dice_std.
        path: the PNG file.
    """
    with style.context(["default", STYLE]):
        figure = _curve(rows.rename(columns={"key": "line", "fire_patches": "x"}), "burning patches of the train part")
        figure.savefig(path, metadata={"Software": None})


def _doses(measured: pd.DataFrame, inputs: ReportInputs) -> pd.DataFrame:
    """Return the rows of current configs that differ from another one in how much they add, and in nothing else."""
    kinds = {config.key: _all_but_dose(config.settings) for config in inputs.configs}
    current = measured[(measured["status"] == "current") & (measured["n_images"] > 0)]
    doses = current.groupby(current["key"].map(kinds))["n_images"].transform("nunique")
    return current[doses > 1].rename(columns={"engine": "line", "n_images": "x"})


def _all_but_dose(settings: str) -> str:
    """Return a config's settings without its words and its dose."""
    values = yaml.safe_load(settings) or {}
    values["sampling"] = values.get("sampling", {}) | dict.fromkeys(("images", "max_tries"))
    return yaml.safe_dump(values | dict.fromkeys(("description", "extends")))


def _curve(rows: pd.DataFrame, label: str) -> Figure:
    """Draw Dice and its standard deviation over x, a line for each `line`."""
    figure = Figure(figsize=(_WIDTH, 4.6))
    axes = figure.subplots()
    for place, (name, line) in enumerate(rows.sort_values("x").groupby("line")):
        colour, marker = COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)]
        spread = 100 * line["dice_std"].fillna(0)
        axes.errorbar(line["x"], 100 * line["dice_mean"], spread, color=colour, marker=marker, capsize=3, label=name)
    axes.set_xscale("log", base=2)
    numbers = sorted(rows["x"].unique())
    axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
    axes.set(xlabel=label, ylabel="Dice (percent points)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _dice(measured: pd.DataFrame, inputs: ReportInputs) -> Figure:
    """Configs from top to bottom: left the Dice of each replicate, right what it changes, with its interval."""
    configs = measured[measured["engine"] != "detector"]
    detectors = measured[measured["engine"] == "detector"]
    controls = {config.key: f"\n(control: {config.expected})" for config in inputs.configs if config.expected}
    names = [key + controls.get(key, "") for key in configs["key"]]
    figure, (axes, changes) = _row_charts(names, configs["status"].tolist())
    for place, (_, row) in enumerate(configs.iterrows()):
        colour = COLOURS[0] if row["status"] == "current" else _STALE
        marker = _MARKERS[place % len(_MARKERS)]
        figures = row.filter(regex=r"^dice_\d+$").to_numpy(float)
        axes.plot(100 * figures, np.full(len(figures), place), marker, color=colour, alpha=0.7, markeredgecolor="white")
        axes.plot([100 * row["dice_mean"]] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=3)
        changes.plot(100 * row["difference"], place, marker, color=colour)
        if np.isfinite(row["low"]) and np.isfinite(row["high"]):
            changes.plot([100 * row["low"], 100 * row["high"]], [place, place], color=colour, linewidth=2)
        changes.annotate(row["verdict"], (1.02, place), xycoords=("axes fraction", "data"), va="center")
    for number, (_, row) in enumerate(detectors.iterrows()):
        axes.plot(
            [100 * row["dice_mean"]] * 2,
            [-0.5, len(configs) - 0.5],
            color=COLOURS[1 + number % (len(COLOURS) - 1)],
            linestyle=_LINES[1 + number % (len(_LINES) - 1)],
            marker=_MARKERS[-1 - number % len(_MARKERS)],
            label=f"detector: {row['key']}",
        )
    axes.plot([], [], "|", color=COLOURS[0], markersize=14, markeredgewidth=3, label="mean over replicates")
    changes.axvline(0, color=_GREY, linewidth=1.2)
    axes.set_xlabel(f"{inputs.dice_name} on the {inputs.part_name} part\n(percent points)")
    changes.set_xlabel(f"difference to {inputs.study.report.baseline}, 95 % interval\n(percent points)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _errors(measured: pd.DataFrame) -> Figure:
    """Precision against recall with lines of equal Dice; next to it false alarms on fire-free patches."""
    figure = Figure(figsize=(_WIDTH, 4.4))
    axes, alarms = figure.subplots(1, 2, width_ratios=[1.15, 1])
    recall = np.linspace(0.5, 100, 2000)
    for dice in (20, 40, 60, 80, 90):
        # Dice = 2PR / (P + R), solved for P.
        precision = dice * recall / np.where(2 * recall > dice, 2 * recall - dice, np.nan)
        axes.plot(recall, np.where(precision <= 100, precision, np.nan), color="#bbbbbb", linewidth=0.9)
        axes.annotate(
            f"Dice {dice}", (100, 100 * dice / (200 - dice)), color=_GREY, fontsize=8, ha="right", va="bottom"
        )
    for place, (_, row) in enumerate(measured.iterrows()):
        axes.plot(100 * row["recall"], 100 * row["precision"], **_marker(place, row["status"]), label=row["key"])
        alarms.plot(row["false_alarms_per_1000_km2"], place, **_marker(place, row["status"]))
    axes.set(xlim=(0, 100), ylim=(0, 103), xlabel="recall (%)", ylabel="precision (%)")
    alarms.set_yticks(range(len(measured)), measured["key"].tolist())
    alarms.set_ylim(len(measured) - 0.5, -0.5)
    alarms.set_xlim(left=0)
    alarms.set_xlabel("false-alarm pixels per 1,000 km²\non patches without fire")
    return figure


def _training(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Validation Dice and training loss over steps; thin lines are single U-Nets, thick ones their mean."""
    figure = Figure(figsize=(_WIDTH, 4.4))
    panels = dict(zip(("val_dice_micro", "train_loss"), figure.subplots(1, 2), strict=True))
    for place, (label, trained) in enumerate(histories.items()):
        line: dict[str, Any] = {
            "color": COLOURS[place % len(COLOURS)],
            "linestyle": _LINES[place // len(COLOURS) % len(_LINES)],
        }
        for column, axes in panels.items():
            history = trained.dropna(subset=[column]).sort_values("step")
            scale = 100 if column == "val_dice_micro" else 1
            for _, run in history.groupby(["fold", "replicate"]):
                axes.plot(run["step"], scale * run[column], **line, linewidth=0.8, alpha=0.4)
            mean = history.groupby("step")[column].mean()
            axes.plot(mean.index, scale * mean, **line, linewidth=2.2, label=label)
            axes.set_xlabel("optimizer step")
    panels["val_dice_micro"].set_ylabel("Dice on the validation part\n(percent points)")
    panels["train_loss"].set_ylabel("training loss")
    handles, labels = panels["train_loss"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _cost(inputs: ReportInputs) -> Figure:
    """Seconds of each asset, stacked, for each config."""
    priced = [config for config in inputs.ordered_configs if config.cost]
    figure, (axes,) = _row_charts([config.key for config in priced], [config.status for config in priced], 1)
    left = np.zeros(len(priced))
    for place, asset in enumerate(dict.fromkeys(name for config in priced for name in config.cost)):
        minutes = np.array([config.cost.get(asset, 0.0) for config in priced]) / 60
        axes.barh(
            range(len(priced)),
            minutes,
            left=left,
            height=0.6,
            color=COLOURS[place % len(COLOURS)],
            hatch=("", "///", "...")[place // len(COLOURS) % 3],
            edgecolor="white",
            label=asset,
        )
        left += minutes
    axes.set_xlabel("wall time (min)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _row_charts(keys: Sequence[str], states: Sequence[str], columns: int = 2) -> tuple[Figure, list[Axes]]:
    """Return charts side by side with a row for each config, the first on top."""
    figure = Figure(figsize=(_WIDTH, 1.6 + 0.36 * len(keys)))
    charts = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    charts[0].set_yticks(
        range(len(keys)),
        [key if state == "current" else f"{key} ({state})" for key, state in zip(keys, states, strict=True)],
    )
    charts[0].set_ylim(len(keys) - 0.5, -0.5)
    for axes in charts:
        axes.grid(axis="y", visible=False)
    return figure, list(charts)


def _marker(place: int, status: str) -> dict[str, Any]:
    """Return the marker of one row in all charts; hollow and grey where it isn't current."""
    current = status == "current"
    colour = COLOURS[place % len(COLOURS)] if current else _STALE
    return {
        "marker": _MARKERS[place % len(_MARKERS)],
        "color": colour,
        "markerfacecolor": colour if current else "white",
        "markersize": 9,
        "linestyle": "none",
        "clip_on": False,
    }
