"""The report as one HTML file that needs nothing beside it, and the short table for the terminal.

How figures are written and laid out belongs here; what they are is for statistics.py; the page's words and
looks are in report.html. Equal inputs give equal bytes: it holds no times of day.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from firefusion_assets.core.pictures import (
    FALSE_ALARM_COLOUR,
    HIT_COLOUR,
    IGNORE_COLOUR,
    LABEL_COLOUR,
    MASK_COLOUR,
    MISS_COLOUR,
    data_uri,
    png_bytes,
)
from firefusion_assets.report.inputs import DICE_NAMES, ConfigResult, Fact, ReportInputs
from firefusion_assets.report.plots import write_plots
from firefusion_assets.report.sheets import painted_sheet, prediction_sheet
from firefusion_assets.report.statistics import answers, comparison, points, warnings

_MISSING: Final = "–"
_SHEET_LIMIT: Final = 3_000_000
"""Bytes of a contact sheet, so that a page with many configs still opens."""

Formatter = Callable[[float], str]


def build_report(inputs: ReportInputs, folder: Path) -> pd.DataFrame:
    """Write ``report.html``, its charts as PNG files and ``comparison.csv`` (fractions, not percent points).

    Args:
        inputs: what the report is made from.
        folder: where the files go; made if need be.

    Returns:
        The comparison, as `firefusion_assets.report.statistics.comparison` describes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = comparison(inputs)
    table.to_csv(folder / "comparison.csv", index=False, lineterminator="\n")
    plots = write_plots(inputs, table, folder)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        study=inputs.study,
        part=inputs.part_name,
        warnings=warnings(inputs),
        answers=answers(inputs),
        main=_main_table(inputs, table),
        further=_further_table(inputs, table),
        plots={name: data_uri(file.read_bytes()) for name, file in plots.items()},
        configs=[_ConfigSection.of(config, inputs) for config in inputs.ordered_configs],
        detectors=inputs.detectors,
        facts=_facts_table(inputs.ordered_configs),
        data={name: value for name, value in inputs.data.items() if not _is_list(value)},
        lists={name: value for name, value in inputs.data.items() if _is_list(value) and value},
        split=_split_table(inputs.split),
        settings=yaml.safe_dump(inputs.study.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        orphans=inputs.orphans,
        colours={
            "mask": MASK_COLOUR,
            "label": LABEL_COLOUR,
            "ignore": IGNORE_COLOUR,
            "hit": HIT_COLOUR,
            "miss": MISS_COLOUR,
            "false_alarm": FALSE_ALARM_COLOUR,
        },
        name_of=_name_of,
        write=_write_fact,
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    return table


def text_table(table: pd.DataFrame) -> str:
    """Write a comparison as aligned plain text, Dice in percent points; a line for each row."""
    # The headline is the Dice that has no column of its own beside `dice_mean`.
    dice = next(name for column, name in DICE_NAMES.items() if column not in table)
    lines = [("config", "images", dice, "difference", "precision", "recall", "false alarms / 1000 km2")]
    for row in table.to_dict("records"):
        name = row["key"] if row["engine"] != "detector" else f"{row['key']} (detector)"
        lines.append(
            (
                name if row["status"] == "current" else f"{name} ({row['status']})",
                _text(row["n_images"], _whole),
                _with_spread(row["dice_mean"], row["dice_std"], _percent),
                _with_spread(row["difference"], row["difference_std"], points),
                _text(row["precision"], _percent),
                _text(row["recall"], _percent),
                _text(row["false_alarms_per_1000_km2"], _tenth),
            )
        )
    names, *columns = zip(*lines, strict=True)
    padded = [_pad(names, str.ljust), *(_pad(column, str.rjust) for column in columns)]
    return "\n".join("  ".join(cells) for cells in zip(*padded, strict=True))


def text_figure(row: pd.Series) -> str:
    """Write the figure of one row of a comparison: its Dice, and its difference to the baseline if it has one."""
    dice = next(name for column, name in DICE_NAMES.items() if column not in row)
    text = f"{row['key']}: {dice} {_with_spread(row['dice_mean'], row['dice_std'], _percent)}"
    if pd.notna(row["difference"]):
        text += f", difference to the baseline {_with_spread(row['difference'], row['difference_std'], points)}"
    return text


@dataclass(frozen=True)
class _Table:
    """A table of the page: titles, rows of texts with their status, and how many left columns are words."""

    titles: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    words: int = 1


@dataclass(frozen=True)
class _ConfigSection:
    """What the page shows of one config."""

    result: ConfigResult
    painted: str | None
    predictions: str | None

    @classmethod
    def of(cls, config: ConfigResult, inputs: ReportInputs) -> "_ConfigSection":
        painted, predictions = config.painted, config.predictions
        return cls(
            result=config,
            painted=_embed(painted_sheet(painted, inputs.bands)) if painted else None,
            predictions=_embed(prediction_sheet(predictions, inputs.bands)) if predictions else None,
        )


def _embed(sheet: Image.Image) -> str:
    return data_uri(png_bytes(sheet, _SHEET_LIMIT))


def _main_table(inputs: ReportInputs, table: pd.DataFrame) -> _Table:
    rows = []
    for row in table.to_dict("records"):
        is_baseline = row["key"] == inputs.study.report.baseline and row["engine"] != "detector"
        rows.append(
            (
                row["status"],
                [
                    row["key"] if row["status"] == "current" else f"{row['key']} ({row['status']})",
                    row["engine"],
                    _text(row["n_images"], _whole),
                    _with_spread(row["dice_mean"], row["dice_std"], _percent),
                    "baseline" if is_baseline else _with_spread(row["difference"], row["difference_std"], points),
                    _text(row["precision"], _percent),
                    _text(row["recall"], _percent),
                    _text(row["false_alarms_per_1000_km2"], _tenth),
                ],
            )
        )
    titles = [
        "Config", "Engine", "Images added", inputs.dice_name, "Difference to baseline", "Precision", "Recall",
        "False alarms per 1,000 km²",
    ]  # fmt: skip
    return _Table(titles, rows, words=2)


def _further_table(inputs: ReportInputs, table: pd.DataFrame) -> _Table:
    columns: dict[str, tuple[str, Formatter]] = {
        **{f"dice_{seed}": (f"{inputs.dice_name}, seed {seed}", _percent) for seed in inputs.study.training.seeds},
        "dice_micro": ("Dice, over all pixels", _percent),
        "dice_scene_mean": ("Dice, mean over scenes", _percent),
        "dice_patch_mean": ("Dice, mean over patches", _percent),
        "dice_batch_mean": ("Dice, mean over batches (thesis)", _percent),
        "iou": ("IoU", _percent),
        "pixel_accuracy": ("Pixel accuracy", lambda value: f"{100 * value:.3f}"),
        "seconds": ("Wall time (min)", lambda value: f"{value / 60:,.1f}"),
    }
    del columns[inputs.study.report.headline]
    return _Table(
        ["Config", *(title for title, _ in columns.values())],
        [
            (row["status"], [row["key"], *(_text(row[name], write) for name, (_, write) in columns.items())])
            for row in table.to_dict("records")
        ],
    )


def _facts_table(configs: Sequence[ConfigResult]) -> _Table:
    names = list(dict.fromkeys(name for config in configs for name in config.facts))
    return _Table(
        ["Config", *map(_name_of, names)],
        [
            (config.status, [config.key, *(_write_fact(name, config.facts.get(name)) for name in names)])
            for config in configs
            if config.facts
        ],
    )


def _split_table(split: pd.DataFrame) -> _Table:
    names = [str(name) for name in split.columns]
    return _Table(
        [_name_of(name) for name in names],
        [("current", [_write_fact(name, row[name]) for name in names]) for row in split.to_dict("records")],
        words=2,
    )


def _name_of(name: str) -> str:
    """Turn a column's name into a title: `n_fire_patches` becomes `Fire patches`."""
    words = {"n_images": "accepted"}.get(name, name.removeprefix("n_")).replace("_", " ")
    return words[:1].upper() + words[1:]


def _write_fact(name: str, value: Fact) -> str:
    if value is None or isinstance(value, str):
        return value or _MISSING
    if name.endswith("_share"):
        return _text(value, lambda share: f"{100 * share:.1f} %")
    return _text(value, _whole if float(value).is_integer() else lambda number: f"{number:.3g}")


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _pad(column: Sequence[str], justify: Callable[[str, int], str]) -> list[str]:
    width = max(map(len, column))
    return [justify(cell, width) for cell in column]


def _text(value: float | None, write: Formatter) -> str:
    return _MISSING if value is None or pd.isna(value) else write(value)


def _with_spread(mean: float, spread: float, write: Formatter) -> str:
    return _text(mean, write) + (f" ± {100 * spread:.1f}" if pd.notna(spread) else "")


def _whole(value: float) -> str:
    return f"{int(value):,}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _tenth(value: float) -> str:
    return f"{value:,.1f}"
