"""What a browser gets of finished objects, and what it doesn't."""

import io
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from PIL import Image

from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.steps.addresses import address_of
from firefusion_assets.steps.serving import DOCS, report_server
from firefusion_assets_tests.builders.studies import lineage_of, write_study


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """A study with a finished report, a picture and an unfinished object."""
    lineage = lineage_of(write_study(tmp_path_factory.mktemp("served") / "study"))

    def make(work: Path) -> dict[str, int]:
        (work / "report.html").write_text("<h1>verdict</h1>")
        (work / "comparison.csv").write_text("key\nbaseline\n")
        (work / "weights.pt").write_bytes(b"secret")
        (work / "fold-0").mkdir()
        Image.new("RGB", (600, 300), (200, 10, 10)).save(work / "fold-0" / "sheet.png")
        return {}

    artifact = lineage.store.build("augmentation_report", "f1", make)
    lineage.store.point("augmentation_report", "_", artifact)
    (lineage.store.root / "augmentation_report" / "half").mkdir()
    (lineage.store.root / "augmentation_report" / "half" / "report.html").write_text("half")
    (lineage.folder / "secret.html").write_text("not an object")
    return lineage


@pytest.fixture(scope="module")
def port(lineage: Lineage) -> Iterator[int]:
    with report_server({"tiny": lineage}, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def get(port: int, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    return response, response.read()


def test_a_study_leads_to_its_last_report(port: int) -> None:
    _, index = get(port, "/")
    assert b'href="/tiny/"' in index
    redirect, _ = get(port, "/tiny/")
    assert redirect.status == 302
    response, page = get(port, redirect.headers["Location"])
    assert (response.status, page) == (200, b"<h1>verdict</h1>")
    assert response.headers["Content-Type"].startswith("text/html")


def test_an_address_in_metadata_is_one_that_is_served(
    port: int, lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREFUSION_REPORTS", f"http://127.0.0.1:{port}/")
    artifact = lineage.store.find("augmentation_report", "f1")
    assert artifact is not None
    address = address_of("tiny", artifact, "fold-0/sheet.png")
    assert address.startswith(f"http://127.0.0.1:{port}/tiny/")
    response, png = get(port, address.removeprefix(f"http://127.0.0.1:{port}"))
    assert response.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(png)).size == (600, 300)


@pytest.mark.parametrize(("width", "size"), [("200", (200, 100)), ("900", (600, 300)), ("x", (600, 300))])
def test_a_picture_comes_in_fewer_pixels(port: int, width: str, size: tuple[int, int]) -> None:
    _, png = get(port, f"/tiny/augmentation_report/f1/fold-0/sheet.png?width={width}")
    assert Image.open(io.BytesIO(png)).size == size


@pytest.mark.parametrize(
    "path",
    [
        "/other/",
        "/tiny/augmentation_report/f1/nothing.html",
        "/tiny/augmentation_report/f1/weights.pt",
        "/tiny/augmentation_report/f1/manifest.json",
        "/tiny/augmentation_report/half/report.html",
        "/tiny/augmentation_report/f1/../../../secret.html",
        "/tiny/augmentation_report/f1/%2e%2e/%2e%2e/%2e%2e/secret.html",
        "/tiny/augmentation_report/f1/..%2f..%2f..%2fsecret.html",
        "/tiny/../secret.html",
        "/tiny/augmentation_report/f1",
    ],
)
def test_nothing_else_is_served(port: int, path: str) -> None:
    response, content = get(port, path)
    assert response.status == 404
    assert b"secret" not in content.replace(b"secret.html", b"") and b"half" not in content


def test_the_documentation_is_served_page_by_page(port: int) -> None:
    for page in DOCS.glob("*.md"):
        response, content = get(port, f"/docs/{page.name}")
        assert response.status == 200 and b"<h1>" in content, page
    _, content = get(port, "/docs/studies.md")
    assert b"<table>" in content and b'href="reference.md"' in content
    assert get(port, "/docs/ui.png")[0].status == 200
    for path in ("/docs/", "/docs/..%2Fpyproject.toml", "/docs/nothing.md", "/docs/studies.md/x"):
        assert get(port, path)[0].status == 404, path


def test_nothing_can_be_changed(port: int) -> None:
    response, _ = get(port, "/tiny/augmentation_report/f1/report.html", "DELETE")
    assert response.status == 501


def test_a_study_without_a_report_says_so(tmp_path: Path) -> None:
    with report_server({"tiny": lineage_of(write_study(tmp_path / "study"))}, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        response, content = get(server.server_port, "/tiny/")
        _, index = get(server.server_port, "/")
        server.shutdown()
    assert response.status == 404 and b"firefusion run" in content
    assert b"tiny: no report yet" in index and b'href="/tiny/' not in index
