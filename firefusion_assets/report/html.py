"""The report as one self-contained HTML file.

The page's words and looks are in report.html. Equal inputs give equal bytes: no clock is asked here.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd
import yaml
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
from firefusion_assets.report.inputs import ReportInputs
from firefusion_assets.report.plots import write_plots
from firefusion_assets.report.sheets import composite_of, painted_sheet, prediction_sheet
from firefusion_assets.report.statistics.answers import answers
from firefusion_assets.report.statistics.comparison import comparison
from firefusion_assets.report.statistics.contrasts import named_contrasts
from firefusion_assets.report.statistics.swap_test import smallest_p
from firefusion_assets.report.statistics.warnings import warnings
from firefusion_assets.report.tables import (
    data_table,
    facts_table,
    further_table,
    is_list,
    main_table,
    name_of,
    notes_table,
    sizes_table,
    split_table,
    states_table,
)
from firefusion_assets.report.templates import template

_SHEET_LIMIT: Final = 3_000_000
"""Bytes of a contact sheet, so that a page with many configs still opens."""


def build_report(inputs: ReportInputs, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Write ``report.html``, its charts as PNG files, ``comparison.csv`` and ``metrics.parquet``; see docs/report.md.

    Args:
        inputs: what the report is made from.
        folder: where the files go; made if need be.

    Returns:
        The comparison, as `statistics.comparison.comparison` describes it, and the answers in sentences.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = comparison(inputs)
    table.to_csv(folder / "comparison.csv", index=False, lineterminator="\n")
    metrics = [config.metrics.assign(key=config.key) for config in inputs.ordered_configs if len(config.metrics)]
    if metrics:
        pd.concat(metrics, ignore_index=True).to_parquet(folder / "metrics.parquet", index=False)
    plots = write_plots(inputs, table, folder)
    sentences, composite = answers(inputs), composite_of(inputs.study)
    page = template("report.html").render(
        study=inputs.study,
        batch=inputs.study.training.batch_composition,
        part=inputs.part_name,
        smallest_p=smallest_p(inputs.study.replicates.count, len(named_contrasts(inputs))),
        warnings=warnings(inputs),
        answers=sentences,
        main=main_table(inputs, table),
        sizes=sizes_table(table),
        further=further_table(inputs, table),
        plots={name: data_uri(file.read_bytes()) for name, file in plots.items()},
        configs=inputs.ordered_configs,
        sheets={
            config.key: _embed(painted_sheet(config.painted, composite)) for config in inputs.configs if config.painted
        },
        painted=_one_of_each(inputs),
        predictions=_embed(prediction_sheet(inputs.predictions, composite)) if inputs.predictions else None,
        predicted=[example.caption for example in inputs.predictions],
        detectors=inputs.detectors,
        facts=facts_table(inputs.ordered_configs),
        data=data_table(inputs.data),
        lists={name: value for name, value in inputs.data.items() if is_list(value) and value},
        split=split_table(inputs.split),
        states=states_table(inputs),
        notes=notes_table(inputs),
        looked_at=inputs.looked_at,
        settings=yaml.safe_dump(
            inputs.study.model_dump(mode="json", exclude={"resources"}), sort_keys=False, allow_unicode=True
        ),
        orphans=inputs.orphans,
        colours={
            "mask": MASK_COLOUR,
            "label": LABEL_COLOUR,
            "ignore": IGNORE_COLOUR,
            "hit": HIT_COLOUR,
            "miss": MISS_COLOUR,
            "false_alarm": FALSE_ALARM_COLOUR,
        },
        name_of=name_of,
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    return table, sentences


def _one_of_each(inputs: ReportInputs) -> str | None:
    """Return a sheet with a patch of each config that paints but controls, of neither a small fire nor a large one."""
    examples = [
        replace(accepted[len(accepted) // 2], caption=f"{config.key}: {accepted[len(accepted) // 2].caption}")
        for config in inputs.ordered_configs
        if not config.expected and (accepted := [example for example in config.painted if example.accepted])
    ]
    return _embed(painted_sheet(examples, composite_of(inputs.study))) if examples else None


def _embed(sheet: Image.Image) -> str:
    return data_uri(png_bytes(sheet, _SHEET_LIMIT))
