"""The UI as a person uses it, in Chromium: graph, backfill of all keys, pictures and verdict without a click, the
report opened by its link, the schedule turned on; and the gallery, sorted.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from firefusion_assets.core.pictures import Composite
from firefusion_assets.report.gallery import Painted, write_gallery
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.reports import BANDS, painted
from firefusion_assets_tests.builders.studies import REPOSITORY, TINY_CONFIGS, TINY_STUDY, write_study

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="needs playwright: pip install '.[browser]'"
    ),
]
WAIT_MS, BACKFILL_S = 60_000, 280


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def asked(url: str, query: str) -> Any:
    return requests.post(f"{url}/graphql", json={"query": query}, timeout=30).json()["data"]


def wait_for(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(1)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where Dagster and the reports are, for a study of two configs that was never run."""
    configs = {name: TINY_CONFIGS[name] for name in ("baseline", "copy-paste")}
    study, home = write_study(tmp_path / "study", TINY_STUDY, configs), tmp_path / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    ports = free_port(), free_port()
    ui, reports = (f"http://127.0.0.1:{port}" for port in ports)
    environment = cli_environment(study, home) | {"FIREFUSION_REPORTS": reports, "PYTHONPATH": os.pathsep.join(["."])}
    with running(cli_command("firefusion", "ui", "--port", str(ports[0])), environment):
        wait_for(lambda: answers(f"{ui}/server_info") and answers(reports), 120)
        yield ui, reports


@pytest.mark.timeout(600)
def test_from_the_graph_to_the_report(urls: tuple[str, str]) -> None:
    from playwright.sync_api import sync_playwright

    ui, reports = urls
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(WAIT_MS)

        page.goto(f"{ui}/asset-groups")
        for group in ("1_data", "2_augmentation", "3_segmentation", "4_report"):
            page.get_by_text(group).first.wait_for()
        page.get_by_role("button", name="Materialize all").first.click()
        page.get_by_role("button", name="All", exact=True).click()
        page.get_by_role("button", name="Launch backfill").click()
        query = "{partitionBackfillsOrError{... on PartitionBackfills{results{status}}}}"
        final = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED"}

        def states() -> list[str]:
            return [one["status"] for one in asked(ui, query)["partitionBackfillsOrError"]["results"]]

        wait_for(lambda: states() and set(states()) <= final, BACKFILL_S)
        assert states() == ["COMPLETED_SUCCESS"]

        for asset in ("synthetic_images", "augmentation_report"):
            page.goto(f"{ui}/assets/tiny/{asset}?view=overview")
            picture = page.locator(f"img[src^='{reports}/tiny/{asset}/']").first
            picture.wait_for()
            assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        page.get_by_text("not decidable").first.wait_for()
        address = page.locator(f"a[href$='/report.html'][href^='{reports}']").first.get_attribute("href")
        page.goto(str(address))
        assert "does synthetic training data help?" in page.title()
        page.goto(f"{reports}/tiny/")
        assert page.url == address

        page.goto(f"{ui}/automation")
        row = page.get_by_text("tiny_weekly").first
        row.wait_for()
        page.locator("label[class*=formatSwitch]").nth(3).click()  # three sensors, then the schedule
        schedules = (
            '{schedulesOrError(repositorySelector:{repositoryLocationName:"firefusion_assets.definitions",'
            'repositoryName:"__repository__"}){... on Schedules{results{scheduleState{status}}}}}'
        )
        running_now = [{"scheduleState": {"status": "RUNNING"}}]
        wait_for(lambda: asked(ui, schedules)["schedulesOrError"]["results"] == running_now, 60)
        browser.close()


def test_the_gallery_is_sorted_and_hides_what_is_not_asked_for(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    scores = [2.0, float("nan"), 10.0, -1.0]
    patches = [Painted(painted(accepted=score != 10), {"seam_score": score}) for score in scores]
    write_gallery("t", patches, Composite(BANDS, BANDS), None, {}, "", tmp_path / "gallery.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.goto(f"file://{tmp_path}/gallery.html")

        def order() -> list[int]:
            shown = page.locator("article:visible")
            return [int(str(shown.nth(place).get_attribute("data-number"))) for place in range(shown.count())]

        assert order() == [0, 1, 2, 3]
        for choice, expected in (("seam_score 1", [3, 0, 2, 1]), ("seam_score -1", [2, 0, 3, 1])):
            page.select_option("#order", choice)
            assert order() == expected, "what wasn't measured stands last"
        page.uncheck("#rejected")
        assert order() == [0, 3, 1]
        page.select_option("#order", "number 1")
        assert order() == [0, 1, 3]
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        browser.close()
