"""Reports, tables and pictures of finished objects over HTTP, read-only: browsers open no files from a web page.

/                                    the studies
/STUDY/                              leads to the study's last report
/STUDY/ASSET/FINGERPRINT/FILE        a file of an object; a picture in fewer pixels with ?width=PX
/docs/PAGE                           a page of the documentation
"""

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.lineage.assets import REPORT
from firefusion_assets.lineage.fingerprints import Lineage

DOCS: Final = Path(__file__).parents[1] / "docs"
"""The documentation's pages, which the package holds."""
_STYLE: Final = (
    "body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid #d5dbe3;padding:.2rem .6rem;"
    "text-align:left;vertical-align:top}pre{background:#f5f6f8;padding:.6rem;overflow-x:auto}img{max-width:100%}"
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".parquet": "application/octet-stream",
}


def report_server(lineages: Mapping[str, Lineage], port: int) -> ThreadingHTTPServer:
    """Return a server of the studies' finished objects on 127.0.0.1; call its `serve_forever`.

    Args:
        lineages: by the study's name.
        port: 0 for any free one.

    Raises:
        OSError: if the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, _, path, query, _ = urlsplit(self.path)
            parts = [unquote(part) for part in path.split("/") if part]
            if not parts:
                self._answer(_index(lineages).encode(), ".html")
            elif len(parts) == 1 and (lineage := lineages.get(parts[0])) is not None:
                report = lineage.store.pointed(REPORT, UNPARTITIONED)
                if report is None:
                    self.send_error(HTTPStatus.NOT_FOUND, "This study has no report yet: firefusion run KEY")
                else:
                    self.send_response(HTTPStatus.FOUND)
                    self.send_header("Location", f"/{quote(parts[0])}/{REPORT}/{report.fingerprint}/report.html")
                    self.end_headers()
            elif (page := _page(parts)) is not None:
                is_text = page.suffix == ".md"
                self._answer(_rendered(page) if is_text else page.read_bytes(), ".html" if is_text else page.suffix)
            elif (file := _file(lineages, parts)) is not None:
                width = parse_qs(query).get("width", [""])[0]
                shrunk = file.suffix == ".png" and width.isdecimal() and int(width) > 0
                self._answer(_shrunk(file, int(width)) if shrunk else file.read_bytes(), file.suffix)
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _answer(self, content: bytes, suffix: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES[suffix])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal is Dagster's."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def _page(parts: list[str]) -> Path | None:
    """Return a file of the documentation, if the path names one; no study has paths of two parts."""
    pages = {file.name: file for file in DOCS.glob("*") if file.suffix in (".md", ".png")}
    return pages.get(parts[1]) if len(parts) == 2 and parts[0] == "docs" else None


def _rendered(page: Path) -> bytes:
    """Return a page as HTML that needs no other file."""
    from markdown_it import MarkdownIt

    text = page.read_text(encoding="utf-8")
    title = text.partition("\n")[0].lstrip("# ")
    body = MarkdownIt("commonmark").enable("table").render(text)
    return f"<!DOCTYPE html><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>{body}".encode()


def _file(lineages: Mapping[str, Lineage], parts: list[str]) -> Path | None:
    """Return a file of a finished object, if the path names one."""
    if len(parts) < 4 or parts[0] not in lineages or any(part.startswith(".") or "/" in part for part in parts):
        return None
    store = lineages[parts[0]].store
    if (found := store.find(parts[1], parts[2])) is None:
        return None
    folder = found.path.resolve()
    file = folder.joinpath(*parts[3:]).resolve()
    return file if file.is_relative_to(folder) and file.is_file() and file.suffix in _TYPES else None


def _shrunk(file: Path, width: int) -> bytes:
    """Return a picture that is no wider than so many pixels."""
    from PIL import Image

    from firefusion_assets.core.pictures import png_bytes

    with Image.open(file) as picture:
        if picture.width <= width:
            return file.read_bytes()
        return png_bytes(picture.convert("RGB").resize((width, max(1, picture.height * width // picture.width))))


def _index(lineages: Mapping[str, Lineage]) -> str:
    rows = "".join(
        f'<li><a href="/{quote(name)}/">{escape(name)}</a></li>'
        if lineage.store.pointed(REPORT, UNPARTITIONED) is not None
        else f"<li>{escape(name)}: no report yet</li>"
        for name, lineage in sorted(lineages.items())
    )
    docs = '<p><a href="/docs/index.md">Documentation</a></p>'
    return f"<!DOCTYPE html><meta charset=utf-8><title>FireFusion reports</title><h1>Reports</h1><ul>{rows}</ul>{docs}"
