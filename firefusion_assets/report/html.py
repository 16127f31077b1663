"""The report as one self-contained HTML file, and the short table for the terminal.

Says how figures are written and laid out; statistics.py computes them; the page's words and
looks are in report.html. Equal inputs give equal bytes: it holds no times of day.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pandas.io.formats.style import Styler
from PIL import Image
from rich.console import Console
from rich.table import Table

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
_GREY: Final = "color: #6b7480; font-weight: 400; font-style: italic; background: #f5f6f8"
"""Of rows that don't count."""
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
        data=_data_table(inputs.data),
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
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    return table


def text_table(table: pd.DataFrame) -> str:
    """Write a comparison as aligned plain text, Dice in percent points; a line for each row."""
    shown = Table(box=None, pad_edge=False)
    texts = _comparison_texts(table)
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
    differences = _with_spread(table["difference"], table["difference_std"], points)
    return [
        f"{key}: {dice} {figure}" + (f", difference to the baseline {difference}" if is_known else "")
        for key, figure, difference, is_known in zip(
            table["key"], figures, differences, table["difference"].notna(), strict=True
        )
    ]


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


def _grid(name: str, texts: pd.DataFrame, words: int = 1, stale: Sequence[bool] = ()) -> Styler:
    """Lay out texts; the first column heads its rows, the first `words` ones are left-aligned, stale rows are grey."""
    titled = texts.set_index(texts.columns[0]).rename_axis(index=None, columns=texts.columns[0])
    left = [{"selector": f".col{column}", "props": "text-align: left"} for column in range(words - 1)]
    grey = [{"selector": f".row{row}", "props": _GREY} for row, is_stale in enumerate(stale) if is_stale]
    styler = Styler(titled, uuid=name, cell_ids=False).set_table_styles(left + grey)
    return styler.format(escape="html").format_index(escape="html")


def _main_table(inputs: ReportInputs, table: pd.DataFrame) -> Styler:
    texts = _comparison_texts(table)
    texts.insert(1, "Engine", table["engine"])
    is_baseline = (table["key"] == inputs.study.report.baseline) & (table["engine"] != "detector")
    texts.loc[is_baseline, "Difference to baseline"] = "baseline"
    return _grid("comparison", texts, words=2, stale=table["status"] != "current")


def _comparison_texts(table: pd.DataFrame) -> pd.DataFrame:
    # The headline is the Dice that has no column of its own but `dice_mean`.
    dice = next(name for column, name in DICE_NAMES.items() if column not in table)
    names = table["key"].where(table["status"] == "current", table["key"] + " (" + table["status"] + ")")
    return pd.DataFrame(
        {
            "Config": names,
            "Images added": _texts(table["n_images"], _whole),
            dice: _with_spread(table["dice_mean"], table["dice_std"], _percent),
            "Difference to baseline": _with_spread(table["difference"], table["difference_std"], points),
            "Precision": _texts(table["precision"], _percent),
            "Recall": _texts(table["recall"], _percent),
            "False alarms per 1,000 km²": _texts(table["false_alarms_per_1000_km2"], _tenth),
        }
    )


def _further_table(inputs: ReportInputs, table: pd.DataFrame) -> Styler:
    columns: dict[str, tuple[str, Formatter]] = {
        **{
            f"dice_{number}": (f"{inputs.dice_name}, replicate {number}", _percent)
            for number in range(inputs.study.replicates.count)
        },
        "dice_micro": ("Dice, over all pixels", _percent),
        "dice_scene_mean": ("Dice, mean over scenes", _percent),
        "dice_patch_mean": ("Dice, mean over patches", _percent),
        "dice_batch_mean": ("Dice, mean over batches (thesis)", _percent),
        "iou": ("IoU", _percent),
        "pixel_accuracy": ("Pixel accuracy", lambda value: f"{100 * value:.3f}"),
        "seconds": ("Wall time (min)", lambda value: f"{value / 60:,.1f}"),
    }
    del columns[inputs.study.report.headline]
    texts = {title: _texts(table[name], write) for name, (title, write) in columns.items()}
    return _grid("further", pd.DataFrame({"Config": table["key"], **texts}), stale=table["status"] != "current")


def _facts_table(configs: Sequence[ConfigResult]) -> Styler | None:
    painted = [config for config in configs if config.facts]
    names = list(dict.fromkeys(name for config in painted for name in config.facts))
    texts = {_name_of(name): [_write_fact(name, config.facts.get(name)) for config in painted] for name in names}
    if not texts:
        return None
    named = pd.DataFrame({"Config": [config.key for config in painted], **texts})
    return _grid("facts", named, stale=[config.status != "current" for config in painted])


def _split_table(split: pd.DataFrame) -> Styler | None:
    if split.empty:
        return None
    texts = {_name_of(name): [_write_fact(name, value) for value in split[name]] for name in split}
    return _grid("split", pd.DataFrame(texts), words=2)


def _data_table(data: Mapping[str, Any]) -> Styler:
    texts = {_name_of(name): _write_fact(name, value) for name, value in data.items() if not _is_list(value)}
    return _grid("data", pd.DataFrame({"Data set": texts.keys(), "": texts.values()})).hide(axis="columns")


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


def _text(value: float | None, write: Formatter) -> str:
    return _MISSING if value is None or pd.isna(value) else write(value)


def _texts(values: pd.Series, write: Formatter) -> list[str]:
    return [_text(value, write) for value in values]


def _with_spread(means: pd.Series, spreads: pd.Series, write: Formatter) -> list[str]:
    ends = [f" ± {100 * spread:.1f}" if pd.notna(spread) else "" for spread in spreads]
    return [text + end for text, end in zip(_texts(means, write), ends, strict=True)]


def _whole(value: float) -> str:
    return f"{int(value):,}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _tenth(value: float) -> str:
    return f"{value:,.1f}"
