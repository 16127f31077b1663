"""The tables of a report, for the page and for the terminal: how figures are written and laid out."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd
from pandas.io.formats.style import Styler
from rich.console import Console
from rich.table import Table

from firefusion_assets.core.fires import SIZES
from firefusion_assets.report.inputs import DICE_NAMES, SHARED, ConfigResult, Fact, ReportInputs
from firefusion_assets.report.statistics.answers import points
from firefusion_assets.report.statistics.comparison import BY_SIZE

_MISSING: Final = "–"
_GREY: Final = "color: #6b7480; font-weight: 400; font-style: italic; background: #f5f6f8"
"""Of rows that don't count."""

_NAMES: Final = {
    "n_images": "added",
    "accepted_share": "accepted of all painted",
    "label_changed_share": "share of the label that was painted",
    "label_detected_share": "share of the label that detectors confirm",
    "real_accepted_share": "real fires that would be accepted",
    "texture_distance": "kernel distance of texture to real fires",
}
"""Facts whose names say too little."""

Formatter = Callable[[float], str]


def text_table(table: pd.DataFrame) -> str:
    """Write a comparison as aligned plain text, Dice in percent points; a line for each row."""
    shown = Table(box=None, pad_edge=False)
    texts = comparison_texts(table)
    texts["Config"] += [" (detector)" if engine == "detector" else "" for engine in table["engine"]]
    for title in texts:
        shown.add_column(title, justify="left" if title == "Config" else "right", no_wrap=True)
    for row in texts.itertuples(index=False):
        shown.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=500, color_system=None, force_terminal=False, markup=False, emoji=False).print(shown)
    return text.getvalue().rstrip("\n")


def text_figures(table: pd.DataFrame) -> list[str]:
    """Write the figure of each row of a comparison: its Dice, and its difference to the baseline if it has one."""
    dice = next(name for column, name in DICE_NAMES.items() if column not in table)
    figures = _with_spread(table["dice_mean"], table["dice_std"], _percent)
    return [
        f"{key}: {dice} {figure}" + (f", difference to the baseline {difference}: {verdict}" if verdict else "")
        for key, figure, difference, verdict in zip(
            table["key"], figures, _with_interval(table), table["verdict"], strict=True
        )
    ]


def grid(name: str, texts: pd.DataFrame, words: int = 1, stale: Sequence[bool] = ()) -> Styler:
    """Lay out texts; the first column heads its rows, the first `words` ones are left-aligned, stale rows are grey."""
    titled = texts.set_index(texts.columns[0]).rename_axis(index=None, columns=texts.columns[0])
    left = [{"selector": f".col{column}", "props": "text-align: left"} for column in range(words - 1)]
    grey = [{"selector": f".row{row}", "props": _GREY} for row, is_stale in enumerate(stale) if is_stale]
    styler = Styler(titled, uuid=name, cell_ids=False).set_table_styles(left + grey)
    return styler.format(escape="html").format_index(escape="html").format_index(escape="html", axis="columns")


def main_table(inputs: ReportInputs, table: pd.DataFrame) -> Styler:
    """Return the comparison as the page shows it first."""
    texts = comparison_texts(table)
    texts.insert(1, "Engine", table["engine"])
    is_baseline = (table["key"] == inputs.study.report.baseline) & (table["engine"] != "detector")
    texts.loc[is_baseline, "Difference to baseline"] = "baseline"
    return grid("comparison", texts, words=2, stale=table["status"] != "current")


def comparison_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the main columns of a comparison as people read them, Dice in percent points."""
    # The headline is the Dice that has no column of its own but `dice_mean`.
    dice = next(name for column, name in DICE_NAMES.items() if column not in table)
    names = table["key"].where(table["status"] == "current", table["key"] + " (" + table["status"] + ")")
    return pd.DataFrame(
        {
            "Config": names,
            "Images added": _texts(table["n_images"], _whole),
            dice: _with_spread(table["dice_mean"], table["dice_std"], _percent),
            "Difference to baseline": _with_interval(table),
            "p": _texts(table["p"], lambda value: f"{value:.3f}"),
            "Verdict": table["verdict"].where(table["verdict"] != "", _MISSING),
            "Precision": _texts(table["precision"], _percent),
            "Recall": _texts(table["recall"], _percent),
            "False alarms per 1,000 km²": _texts(table["false_alarms_per_1000_km2"], _tenth),
        }
    )


def sizes_table(table: pd.DataFrame) -> Styler:
    """Return the Dice on patches whose fire is of a class of sizes."""
    texts = {_pixels(*size): _texts(table[name], _percent) for name, size in BY_SIZE.items()}
    return grid("sizes", pd.DataFrame({"Config": table["key"], **texts}), stale=table["status"] != "current")


def further_table(inputs: ReportInputs, table: pd.DataFrame) -> Styler:
    """Return the figures of the comparison that are folded away."""
    columns: dict[str, tuple[str, Formatter]] = {
        **{
            f"dice_{number}": (f"{inputs.dice_name}, replicate {number}", _percent)
            for number in range(inputs.study.replicates.count)
        },
        "dice_micro": ("Dice, over all pixels of each fold", _percent),
        "dice_scene_mean": ("Dice, mean over scenes", _percent),
        "dice_patch_mean": ("Dice, mean over patches", _percent),
        "dice_batch_mean": ("Dice, mean over batches (thesis)", _percent),
        "iou": ("IoU", _percent),
        "pixel_accuracy": ("Pixel accuracy", lambda value: f"{100 * value:.3f}"),
        "false_alarms_low": ("False alarms per 1,000 km², from", _tenth),
        "false_alarms_high": ("to (Poisson, 95 %)", _tenth),
        "fire_free_km2": ("on km² without fire", _tenth),
        "seconds": ("Wall time (min)", lambda value: f"{value / 60:,.1f}"),
    }
    del columns[inputs.study.report.headline]
    texts = {title: _texts(table[name], write) for name, (title, write) in columns.items()}
    return grid("further", pd.DataFrame({"Config": table["key"], **texts}), stale=table["status"] != "current")


def facts_table(configs: Sequence[ConfigResult]) -> Styler | None:
    """Return what each config painted; None if none painted anything."""
    painted = [config for config in configs if config.facts]
    names = list(dict.fromkeys(name for config in painted for name in config.facts))
    texts = {name_of(name): [_write_fact(name, config.facts.get(name)) for config in painted] for name in names}
    if not texts:
        return None
    named = pd.DataFrame({"Config": [config.key for config in painted], **texts})
    return grid("facts", named, stale=[config.status != "current" for config in painted])


def split_table(split: pd.DataFrame) -> Styler | None:
    """Return the size of each part of each fold; None before the split."""
    if split.empty:
        return None
    texts = {name_of(name): [_write_fact(name, value) for value in split[name]] for name in split}
    return grid("split", pd.DataFrame(texts), words=2)


def data_table(data: Mapping[str, Any]) -> Styler:
    """Return the facts of the data set."""
    texts = {name_of(name): _write_fact(name, value) for name, value in data.items() if not is_list(value)}
    return grid("data", pd.DataFrame({"Data set": texts.keys(), "": texts.values()})).hide(axis="columns")


def states_table(inputs: ReportInputs) -> Styler | None:
    """Return the state of each asset of each config, and what making it current takes; None if unknown."""
    states = inputs.states
    if states.empty:
        return None
    shown = states.pivot(index="key", columns="asset", values="state").reindex(columns=states["asset"].unique())
    due = states.groupby("key")[["hours", "gpu_hours", "disk"]].sum().loc[shown.index]
    shown = shown.rename(columns=name_of).assign(
        **{
            "Hours": _texts(due["hours"], _due),
            "GPU hours": _texts(due["gpu_hours"], _due),
            "MiB": _texts(due["disk"] / 2**20, _due),
        }
    )
    keys = [key for key in (SHARED, *(config.key for config in inputs.ordered_configs)) if key in shown.index]
    return grid("states", shown.loc[keys].fillna("").reset_index(names="Config"))


def notes_table(inputs: ReportInputs) -> Styler | None:
    """Return why what is stale, failed or invalid is so, and the checks that don't pass; None if there is neither."""
    if inputs.states.empty:
        return None
    states = inputs.states[["key", "state", "why"]]
    old = states[states["state"].isin(["stale", "failed", "invalid"])]
    unmet = states.assign(state="check", why=inputs.states["checks"])[inputs.states["checks"] != ""]
    notes = pd.concat([old, unmet]).sort_values("key", kind="stable")
    if notes.empty:
        return None
    # Many assets are stale for one cause, which stands first.
    joined = notes.groupby(["key", "state"], sort=False)["why"].agg(
        lambda lines: "; ".join(dict.fromkeys(cause for line in lines for cause in line.split("; ")))
    )
    return grid("notes", joined.reset_index().set_axis(["Config", "State", "Why"], axis=1), words=3)


def name_of(name: str) -> str:
    """Turn a column's name into a title: `n_fire_patches` becomes `Fire patches`."""
    of_sizes = {f"accepted_{size}_px_share": f"accepted of {_pixels(*ends)}" for size, ends in SIZES.items()}
    words = (_NAMES | of_sizes).get(name, name.removeprefix("n_")).replace("_", " ")
    return words[:1].upper() + words[1:]


def _write_fact(name: str, value: Fact) -> str:
    if value is None or isinstance(value, str):
        return value or _MISSING
    if name.endswith("_share"):
        return _text(value, lambda share: f"{100 * share:.1f} %")
    return _text(value, _whole if float(value).is_integer() else lambda number: f"{number:.3g}")


def is_list(value: object) -> bool:
    """Tell whether a fact is shown as a list of its own."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def _text(value: float | None, write: Formatter) -> str:
    return _MISSING if value is None or pd.isna(value) else write(value)


def _texts(values: pd.Series, write: Formatter) -> list[str]:
    return [_text(value, write) for value in values]


def _with_spread(means: pd.Series, spreads: pd.Series, write: Formatter) -> list[str]:
    ends = [f" ± {100 * spread:.1f}" if pd.notna(spread) else "" for spread in spreads]
    return [text + end for text, end in zip(_texts(means, write), ends, strict=True)]


def _with_interval(table: pd.DataFrame) -> list[str]:
    ends = zip(table["low"], table["high"], strict=True)
    shown = [f" ({points(low)} to {points(high)})" if math.isfinite(low) else "" for low, high in ends]
    return [text + interval for text, interval in zip(_texts(table["difference"], points), shown, strict=True)]


def _pixels(least: float, most: float) -> str:
    return f"{least:g} to {most:g} px" if math.isfinite(most) else f"{least:g} px and more"


def _whole(value: float) -> str:
    return f"{int(value):,}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _due(value: float) -> str:
    return f"{value:,.2g}" if 0 < value < 10 else f"{value:,.0f}" if value else _MISSING


def _tenth(value: float) -> str:
    return f"{value:,.1f}"
