"""The page as its reader gets it: complete, self-contained, escaped, and the same for the same inputs."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from firefusion_assets.report.html import build_report
from firefusion_assets.report.inputs import SHARED, ConfigResult, DetectorResult, ReportInputs
from firefusion_assets.report.statistics.comparison import comparison
from firefusion_assets.report.statistics.warnings import warnings
from firefusion_assets.report.tables import text_table
from firefusion_assets_tests.builders.reports import (
    PASTED,
    config,
    history,
    inputs,
    painted,
    prediction,
    runs,
    split,
    study,
)
from firefusion_assets_tests.builders.studies import REPOSITORY

NASTY = '<script>alert("x")</script> & more'


def full() -> ReportInputs:
    native = config(
        "native",
        "native",
        runs(*(0.53, 0.58, 0.57) * 2, 0.56, 0.56),
        description=NASTY,
        history=history(),
        facts={"n_images": 512, "wanted": 512, "accepted_share": 0.5, "screening": None},
        cost={"finetuned_model": 60.0, "trained_unet": 90.0},
        painted=[painted(), painted(accepted=False)],
    )
    stale = config("old", "native", runs(0.6), status="stale", note="Settings changed. Run: make old")
    return inputs(
        configs=[native, stale, *inputs().configs],
        detectors=[*inputs().detectors, DetectorResult("schroeder", note="needs B1 to B7")],
        data={"n_patches": 1200, "skipped_files": ["bad.tif: truncated"]},
        orphans=["gone"],
        predictions=[prediction()],
    )


def states(*rows: tuple[str, str, str, str, str, float, float, float]) -> pd.DataFrame:
    columns = ["key", "asset", "state", "why", "checks", "hours", "gpu_hours", "disk"]
    return pd.DataFrame(rows, columns=columns)


def cells(page: str, table: str) -> list[list[str]]:
    """The texts of a table of the page, row by row."""
    (found,) = re.findall(rf'<table id="T_{table}".*?</table>', page, re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", found, re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


class _Page(HTMLParser):
    """Collects what a browser would load or link, and whether the tags are balanced."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.without_alt = 0
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.without_alt += tag == "img" and not dict(attrs).get("alt")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "new"
    build_report(full(), folder)
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return (report / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    parsed = _Page(page)
    assert parsed.open == []
    assert parsed.without_alt == 0
    assert len(parsed.addresses) == 4 + 3, "four charts and three sheets"
    assert all(address.startswith("data:image/png;base64,") for address in parsed.addresses)
    assert not re.search(r"@import|url\(", page)


def test_words_of_a_config_are_escaped(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_every_name_is_escaped_wherever_it_stands(tmp_path: Path) -> None:
    """Keys are checked when they are read; facts, captions and notes come from files and other packages too."""
    hostile = '<img src=x onerror="alert(1)">'
    words: dict[str, Any] = {"description": hostile, "note": hostile, "status": "stale"}
    facts = {"n_images": 5, "wanted": 3, hostile: 1.0, "text": hostile}
    sheet = [replace(painted(accepted), caption=hostile, reason=hostile) for accepted in (True, False)]
    everywhere = inputs(
        study=study(description=hostile, owners=["<b>@x.org"]),
        configs=[
            config(hostile, "native", runs(*PASTED), cost={hostile: 60.0}, facts=facts, painted=sheet, **words),
            *inputs().configs,
        ],
        detectors=[DetectorResult(hostile, note=hostile)],
        data={hostile: hostile, "bad_files": [hostile], "n_patches": 3},
        split=split().assign(part=hostile, **{hostile: 1}),
        orphans=[hostile],
        predictions=[replace(prediction(), caption=hostile, predicted={hostile: painted().mask})],
        states=states(("baseline", hostile, "stale", hostile, hostile, 1.0, 0.0, 0.0)),
        looked_at=hostile,
    )
    build_report(everywhere, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page and "<b>" not in page
    assert page.count("&lt;img src=x") > 15
    assert all(address.startswith("data:image/png;base64,") for address in _Page(page).addresses)


def test_the_page_says_what_the_reader_must_know(page: str) -> None:
    for words in (
        *("Before you believe", "Run: make old", "bad.tif: truncated", "needs B1 to B7", "gone", "1,200"),
        *("native is better than baseline (+5.8 points", "dice_batch_mean", "learning_rate"),
    ):
        assert words in page
    top = page.index("Before you believe")
    assert top < page.index("native is better than") < page.index("<table")


def test_the_state_of_each_config_is_told_with_what_it_takes(tmp_path: Path) -> None:
    rows = [
        (SHARED, "scene_split", "current", "", "enough_tested warns", 0.0, 0.0, 0.0),
        ("pasted", "trained_unet", "stale", "training.steps: 6 -> 7", "", 1.5, 1.25, 2.0**21),
        ("pasted", "dice_metrics", "stale", "training.steps: 6 -> 7; trained_unet changed", "", 0.25, 0.25, 0.0),
        ("baseline", "trained_unet", "running", "", "", 20.0, 0.0, 2.0**31),
        ("baseline", "dice_metrics", "failed", "no fire", "", 0.0, 0.0, 0.0),
    ]
    build_report(inputs(states=states(*rows), looked_at="2026-11-27 12:00 UTC"), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "2026-11-27 12:00 UTC" in page and "firefusion status" in page
    assert cells(page, "states") == [
        ["Config", "Scene split", "Trained unet", "Dice metrics", "Hours", "GPU hours", "MiB"],
        [SHARED, "current", "", "", "–", "–", "–"],
        ["baseline", "", "running", "failed", "20", "–", "2,048"],
        ["pasted", "", "stale", "stale", "1.8", "1.5", "2"],
    ]
    assert cells(page, "notes") == [
        ["Config", "State", "Why"],
        [SHARED, "check", "enough_tested warns"],
        ["baseline", "failed", "no fire"],
        ["pasted", "stale", "training.steps: 6 -> 7; trained_unet changed"],
    ]


def test_a_stale_row_is_grey(page: str) -> None:
    names = re.findall(r'<th class="row_heading level0 (row\d+)" >(old \(stale\)|schroeder \(missing\))</th>', page)
    grey = re.findall(r"#T_comparison \.(row\d+) {\s*color: #6b7480;", page)
    assert len(grey) == 2 and grey == [row for row, _ in names], "so is one without a figure, and no other"


def test_the_csv_keeps_fractions(report: Path) -> None:
    back = pd.read_csv(report / "comparison.csv").set_index("key")
    expected = comparison(full()).set_index("key")
    assert back.loc["native", "dice_mean"] == pytest.approx(0.56)
    assert back.columns.tolist() == expected.columns.tolist()
    assert back["difference"].isna()["old"]


def test_equal_inputs_give_equal_bytes(report: Path, tmp_path: Path) -> None:
    build_report(full(), tmp_path)
    files = sorted(file.name for file in report.iterdir())
    assert files == [
        *("comparison.csv", "cost.png", "dice.png", "errors.png", "metrics.parquet", "report.html", "training.png")
    ]
    for name in files:
        assert (tmp_path / name).read_bytes() == (report / name).read_bytes(), name


def test_doses_of_one_engine_make_a_curve(tmp_path: Path) -> None:
    def native(images: int, kind: str) -> ConfigResult:
        settings = f"description: {images}\nmasks: {{kind: {kind}}}\nsampling: {{images: {images}}}"
        facts = {"n_images": 2 * images}
        return config(f"native-{images}", "native", runs(0.5, 0.6), facts=facts, settings=settings)

    for folder, kind in (("doses", "box"), ("kinds", "transplanted")):
        build_report(inputs(configs=[native(32, "box"), native(64, kind), *inputs().configs]), tmp_path / folder)
        assert (tmp_path / folder / "dose.png").is_file() == (folder == "doses")
    assert "<h2>Dose</h2>" in (tmp_path / "doses" / "report.html").read_text()


def test_every_column_is_in_the_data_dictionary(report: Path) -> None:
    words = (REPOSITORY / "docs" / "report.md").read_text()
    columns = [*pd.read_csv(report / "comparison.csv"), *pd.read_parquet(report / "metrics.parquet")]
    assert [name for name in columns if f"`{name}`" not in words and not re.fullmatch(r"dice_[2-9]", name)] == []


def test_the_settings_of_each_config_are_shown(tmp_path: Path) -> None:
    shown = config("baseline", "none", settings="sampling: {images: 12345}")
    build_report(inputs(configs=[shown]), tmp_path)
    assert "images: 12345" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("configs", [[], [config("baseline", "none", status="missing", note="Run: make")]])
def test_a_study_without_results_has_a_report(configs: list[ConfigResult], tmp_path: Path) -> None:
    empty = inputs(configs=configs, detectors=[], split=pd.DataFrame(), data={})
    table, _ = build_report(empty, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert len(table) == len(configs)
    assert "There is no answer yet" in text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["comparison.csv", "report.html"]


def test_a_report_without_warnings_has_no_box(tmp_path: Path) -> None:
    assert warnings(inputs()) == []
    build_report(inputs(), tmp_path)
    assert "Before you believe" not in (tmp_path / "report.html").read_text()


def test_a_replication_is_headed_as_one(tmp_path: Path) -> None:
    title = "a replication of the thesis' protocol, not a valid estimate"
    replica = study(evaluation={"part": "val"}, report={"title": title, "headline": "dice_batch_mean"})
    table, _ = build_report(inputs(study=replica, split=split(evaluated="val")), tmp_path)
    page = (tmp_path / "report.html").read_text()
    visible = re.sub(r"\s+", " ", unescape(re.sub(r"<style>.*?</style>|<pre>.*?</pre>|<[^>]+>", " ", page, flags=re.S)))
    (heading,) = re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)
    assert unescape(heading) == title
    assert page.index("<h1>") < page.index("not a valid estimate: they come") < page.index('class="box answer"')
    assert "Dice (batch mean)" in text_table(table).splitlines()[0]
    assert "Dice (batch mean)" in visible and "Dice, over all pixels" in visible
    assert "Validation part; Dice" in visible and "Dice in percent on the validation patches" in visible
    assert "test p" not in visible.lower(), "nothing on the page speaks of a test part or test patches"


def test_the_text_table_is_aligned_and_in_points() -> None:
    lines = text_table(comparison(full())).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[0] == "Config"
    by_name = {line.split("  ")[0]: line.split() for line in lines}
    assert " ".join(by_name["native"]).startswith("native 64 56.0 ± 2.0 +5.8 (")
    assert by_name["native"][-4:] == ["better", "50.0", "50.0", "0.5"]
    assert by_name["baseline"][:5] == ["baseline", "–", "50.2", "±", "0.9"]
    assert by_name["murphy (detector)"][2:4] == ["–", "45.0"]
    assert "old (stale)" in by_name
