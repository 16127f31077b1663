"""Bringing the data set, from a drive in this process: cut connections, refusals, and what is given by hand."""

import hashlib
import http.server
import io
import random
import re
import sys
import threading
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gdown  # noqa: F401  # its module is patched
import pytest
import requests
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firefusion_assets.ingest import download, fetching
from firefusion_assets.ingest.download import CHECKSUMS, MANUAL, REGIONS, Archive, bring, unpack
from firefusion_assets.ingest.fetching import DRIVE, DownloadError, fetch
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses

IMAGE = "LC08_L1TP_193029_20200914_20200914_01_RT_p00910.tif"
MASK = "LC08_L1TP_193029_20200914_20200914_01_RT_Kumar-Roy_p00910.tif"
PATCHES, BOTH = Archive("patches", "ID", "patches", "patches"), Archive("both", "ID", "r/images/both", "r/masks/both")


def zip_of(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PAYLOAD = zip_of({f"patches/{IMAGE}": bytes(range(256)) * 20})
QUOTA = (
    b"<html><head><style>p {color: red}</style></head>"
    b'<p class="uc-error-subcaption">Too many users have downloaded this file.</p></html>'
)
CONFIRM = (
    b'<html><form id="download-form" action="https://drive.google.com/download" method="get">'
    b'<input type="hidden" name="id" value="ID"><input type="hidden" name="confirm" value="t"></form></html>'
)


@dataclass
class Server:
    """What the server does, and what it was asked for."""

    payload: bytes = PAYLOAD
    page: bytes | None = None  # what comes instead of the file
    confirm: bool = False  # whether a page asks before the file comes
    status: int = 200
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes that each of the first requests gets before it is cut off
    asked: list[str | None] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    server_state: Server

    def do_GET(self) -> None:
        state = self.server_state
        wanted = self.headers.get("Range")
        state.asked.append(wanted)
        if state.confirm and "confirm=t" not in self.path:
            self.answer(200, {"Content-Type": "text/html; charset=utf-8"}, CONFIRM)
            return
        if state.page is not None or state.status != 200:
            self.answer(state.status, {"Content-Type": "text/html; charset=utf-8"}, state.page or b"")
            return
        total = len(state.payload)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and state.ranges else 0  # type: ignore[index]
        if start >= total:
            self.answer(416, {"Content-Range": f"bytes */{total}"}, b"")
        elif start:
            self.answer(206, {"Content-Range": f"bytes {start}-{total - 1}/{total}"}, state.payload[start:])
        else:
            self.answer(200, {}, state.payload)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        served = {"Content-Type": "application/zip", "Content-Length": str(len(body)), **headers}
        if served["Content-Type"] == "application/zip":
            served["Content-Disposition"] = 'attachment; filename="a.zip"'
        for name, value in served.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: self.server_state.cuts.pop(0)] if self.server_state.cuts else body)

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server in the place of the drive."""
    handler = type("Handler", (Handler,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        handler.server_state = state = Server()  # type: ignore[attr-defined]
        real_get = requests.Session.get

        def get_here(session: requests.Session, url: str, **options: object) -> requests.Response:
            assert url.startswith(DRIVE)
            return real_get(session, url.replace(DRIVE, f"http://127.0.0.1:{httpd.server_port}"), **options)  # type: ignore[arg-type]

        monkeypatch.setattr(requests.Session, "get", get_here)
        monkeypatch.setattr(random, "uniform", lambda low, high: low)  # gdown's pauses
        monkeypatch.setattr(sys.modules["gdown.download"], "CHUNK_SIZE", 100)  # of a cut block it keeps nothing
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        httpd.shutdown()
        thread.join(30)  # shutdown waits for the loop to end; what is left takes no time


def silent(line: str) -> None:
    """Take no notice of progress."""


@pytest.fixture
def no_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(drive_id: str, target: Path) -> None:
        raise AssertionError("asked the drive for what is there")

    monkeypatch.setattr(download, "fetch", refuse)


def part_of(folder: Path, content: bytes) -> Path:
    """What an earlier call left of a.zip."""
    part = folder / "a.zip12345678.part"
    part.write_bytes(content)
    return part


def test_a_file_arrives_whole_and_leaves_nothing_else(server: Server, tmp_path: Path) -> None:
    fetch("ID", tmp_path / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == PAYLOAD


def test_a_cut_connection_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 700]
    fetch("ID", tmp_path / "a.zip")
    assert server.asked == [None, "bytes=1000-", "bytes=1700-"]
    assert (tmp_path / "a.zip").read_bytes() == PAYLOAD


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(PAYLOAD)), max_size=3), ranges=st.booleans())
def test_wherever_it_is_cut_the_bytes_are_the_servers(
    server: Server, tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranges: bool
) -> None:
    server.cuts, server.ranges = list(cuts), ranges
    target = tmp_path_factory.mktemp("cut") / "a.zip"
    fetch("ID", target)
    assert target.read_bytes() == PAYLOAD


def test_a_later_call_goes_on_behind_one_that_gave_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000] + [0] * 20
    with pytest.raises(DownloadError, match=f"received 1000 bytes but the server announced {len(PAYLOAD)} bytes"):
        fetch("ID", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    assert len(server.asked) < 10
    server.cuts, server.asked = [], []
    fetch("ID", tmp_path / "a.zip")
    assert server.asked == [None, "bytes=1000-"]
    assert (tmp_path / "a.zip").read_bytes() == PAYLOAD


def test_a_server_that_starts_over_and_never_ends_is_given_up(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [1000, 700] * 20
    with pytest.raises(DownloadError, match="again and again"):
        fetch("ID", tmp_path / "a.zip")
    assert len(server.asked) < 10


@pytest.mark.parametrize("status", [200, 403, 404, 429, 503])
def test_a_page_is_a_refusal_that_keeps_what_came(server: Server, tmp_path: Path, status: int) -> None:
    part = part_of(tmp_path, PAYLOAD[:1000])
    server.page, server.status = QUOTA, status
    with pytest.raises(DownloadError, match=r"Too many users have downloaded this file\.") as error:
        fetch("ID", tmp_path / "a.zip")
    assert "color" not in str(error.value)
    assert len(server.asked) == 1
    assert part.read_bytes() == PAYLOAD[:1000]


def test_a_server_in_trouble_is_an_error_that_keeps_what_came(server: Server, tmp_path: Path) -> None:
    part = part_of(tmp_path, PAYLOAD[:1000])
    server.status = 503
    with pytest.raises(DownloadError, match="the drive refuses"):
        fetch("ID", tmp_path / "a.zip")
    assert len(server.asked) < 10
    assert part.read_bytes() == PAYLOAD[:1000]


@pytest.mark.parametrize("left", [PAYLOAD, PAYLOAD + b"of an older file"], ids=["whole", "longer"])
def test_a_part_that_the_file_cant_follow_is_replaced(server: Server, tmp_path: Path, left: bytes) -> None:
    part_of(tmp_path, left)
    fetch("ID", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == PAYLOAD
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_what_is_no_zip_is_not_taken(server: Server, tmp_path: Path) -> None:
    server.payload = b"something else"
    with pytest.raises(DownloadError, match="is no zip"):
        fetch("ID", tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_at_the_first_block(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(100))  # type: ignore[attr-defined]
    with pytest.raises(DownloadError, match="room for 100 bytes"):
        fetch("ID", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_an_archive_is_brought_and_unpacked_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        bring(PATCHES, tmp_path, silent)
        (tmp_path / "patches.zip").unlink(missing_ok=True)
    assert len(server.asked) == 1
    assert (tmp_path / "patches" / IMAGE).read_bytes() == bytes(range(256)) * 20


@pytest.mark.usefixtures("no_drive")
def test_a_zip_given_by_hand_is_unpacked_and_a_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "patches.zip").write_bytes(PAYLOAD)
    bring(PATCHES, tmp_path, silent)
    assert [path.name for path in (tmp_path / "patches").iterdir()] == [IMAGE]
    assert (tmp_path / "patches.zip").read_bytes() == PAYLOAD
    by_hand = tmp_path / "by hand" / "patches" / "sub"
    by_hand.mkdir(parents=True)
    (by_hand / "any.TIF").write_bytes(b"mine")
    bring(PATCHES, tmp_path / "by hand", silent)
    assert [path for path in (tmp_path / "by hand").rglob("*") if path.is_file()] == [by_hand / "any.TIF"]


@pytest.mark.usefixtures("no_drive")
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_within_a_zip_are_parted_into_patches_and_masks(tmp_path: Path, compression: int) -> None:
    inner = {
        "scene.zip": zip_of({IMAGE: b"image", "__MACOSX/._" + IMAGE: b"junk"}, compression),
        "scene_masks.zip": zip_of({f"../../{MASK}": b"mask", "readme.txt": b"text"}, compression),
    }
    (tmp_path / "both.zip").write_bytes(zip_of(inner, compression))
    bring(BOTH, tmp_path, silent)
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.tif")}
    assert files == {f"r/images/both/{IMAGE}": b"image", f"r/masks/both/{MASK}": b"mask"}
    assert not list(tmp_path.rglob("*.partial"))


def test_unpacking_goes_on_after_it_was_cut_short(tmp_path: Path) -> None:
    second = IMAGE.replace("p00910", "p00911")
    (tmp_path / "a.zip").write_bytes(zip_of({IMAGE: b"first", second: b"second"}))
    unpack(tmp_path / "a.zip", tmp_path / "a", tmp_path / "a")
    (tmp_path / "a" / second).write_bytes(b"sec")
    first_before = (tmp_path / "a" / IMAGE).stat().st_mtime_ns
    (tmp_path / "a").rename(tmp_path / ".a-images.partial")
    assert unpack(tmp_path / "a.zip", tmp_path / "a", tmp_path / "a") == 2
    assert (tmp_path / "a" / second).read_bytes() == b"second"
    assert (tmp_path / "a" / IMAGE).stat().st_mtime_ns == first_before


@pytest.mark.usefixtures("no_drive")
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_is_told_and_gives_no_folder(tmp_path: Path, compression: int) -> None:
    damaged = bytearray(zip_of({IMAGE: bytes(range(256)) * 20}, compression))
    damaged[150:170] = b"x" * 20
    for content in (bytes(damaged), PAYLOAD[:500]):
        (tmp_path / "patches.zip").write_bytes(content)
        with pytest.raises(DownloadError, match=r"patches\.zip is damaged .*; remove it and run again"):
            bring(PATCHES, tmp_path, silent)
        assert not (tmp_path / "patches").exists()


@pytest.mark.usefixtures("no_drive")
def test_a_zip_without_patches_is_told(tmp_path: Path) -> None:
    (tmp_path / "patches.zip").write_bytes(zip_of({"readme.txt": b"text"}))
    with pytest.raises(DownloadError, match=r"holds no \.tif"):
        bring(PATCHES, tmp_path, silent)


@pytest.mark.usefixtures("no_drive")
def test_two_processes_dont_bring_one_archive(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".patches.lock"),
        pytest.raises(DownloadError, match="another process"),
    ):
        bring(PATCHES, tmp_path, silent)


def test_the_drives_refusals_are_told_at_once_with_what_to_do_by_hand(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.page = QUOTA
    message = firefusion_refuses("data", "Oceania", "--into", tmp_path)
    assert message.count("Too many users") == 4
    for archive in (*MANUAL, REGIONS["Oceania"]):
        assert f"/file/d/{archive.drive_id}/view as {tmp_path / archive.name}.zip" in message
    assert "https://github.com/pereira-gha/activefire" in message


@pytest.mark.usefixtures("no_drive")
def test_what_was_given_by_hand_needs_no_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for archive in MANUAL:
        (tmp_path / f"{archive.name}.zip").write_bytes(PAYLOAD)
    firefusion("data", "--into", tmp_path)
    assert (tmp_path / "landsat_patches" / IMAGE).is_file()


def test_an_unknown_region_is_told_with_what_is_meant(tmp_path: Path) -> None:
    message = firefusion_refuses("data", "Afrika", "--into", tmp_path)
    assert "There is no region 'Afrika'; did you mean Africa? There are: Africa, Asia1" in message


def test_every_archive_has_a_file_and_a_place_of_its_own() -> None:
    archives = [*MANUAL, *REGIONS.values()]
    assert len(REGIONS) == 11
    assert len({archive.drive_id for archive in archives}) == len(archives)
    assert len({archive.images for archive in archives}) == len(archives)


def test_without_gdown_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(DownloadError, match=r"\[data\]"):
        fetch("ID", tmp_path / "a.zip")


def test_the_page_before_a_large_file_leads_to_its_bytes(server: Server, tmp_path: Path) -> None:
    server.confirm, server.cuts = True, [len(CONFIRM), 1000]
    fetch("ID", tmp_path / "a.zip")
    assert server.asked == [None, None, "bytes=1000-"]
    assert (tmp_path / "a.zip").read_bytes() == PAYLOAD


@pytest.mark.usefixtures("no_drive")
def test_a_zip_is_pinned_when_it_was_unpacked(tmp_path: Path) -> None:
    zipped, record = tmp_path / "patches.zip", tmp_path / CHECKSUMS
    zipped.write_bytes(b"PK damaged")
    with pytest.raises(DownloadError, match="is damaged"):
        bring(PATCHES, tmp_path, silent)
    assert not record.exists(), "what can't be unpacked is not trusted"
    zipped.write_bytes(PAYLOAD)
    bring(PATCHES, tmp_path, silent)
    assert record.read_text() == f"{hashlib.sha256(PAYLOAD).hexdigest()}  patches.zip\n"
    (tmp_path / "patches").rename(tmp_path / "elsewhere")
    bring(PATCHES, tmp_path, silent)
    assert len(record.read_text().splitlines()) == 1


@pytest.mark.usefixtures("no_drive")
def test_another_zip_of_the_same_name_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "patches.zip").write_bytes(PAYLOAD)
    (tmp_path / CHECKSUMS).write_text(f"{'0' * 64}  other-patches.zip\n{'f' * 64}  patches.zip\n")
    with pytest.raises(DownloadError, match=rf"recorded is f{{64}}: .* removing its line from .*{CHECKSUMS}"):
        bring(PATCHES, tmp_path, silent)
    assert not (tmp_path / "patches").exists()
    (tmp_path / CHECKSUMS).write_text(f"{'0' * 64}  other-patches.zip\n")
    bring(PATCHES, tmp_path, silent)
    assert (tmp_path / "patches" / IMAGE).is_file()
