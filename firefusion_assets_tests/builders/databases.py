"""Real servers of Debian's packages on loopback, with their data in a folder of their own: PostgreSQL and Redis."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run PostgreSQL; yields the address of an empty database. Skips where it isn't installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found or (os.geteuid() == 0 and shutil.which("runuser") is None):
        pytest.skip("needs PostgreSQL's server")
    pytest.importorskip("dagster_postgres", reason="needs the extra postgres")
    folder = Path(mkdtemp(prefix="firefusion-postgres-"))
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    port, data = free_port(), str(folder / "data")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    run = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL}
    subprocess.run([*user, str(found[-1] / "initdb"), "-D", data, "-U", "firefusion", "-A", "trust"], **run)  # type: ignore[call-overload]
    control = [*user, str(found[-1] / "pg_ctl"), "-D", data, "-w"]
    subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], **run)  # type: ignore[call-overload]
    try:
        yield f"postgresql+psycopg2://firefusion@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
        shutil.rmtree(folder)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run Redis; yields its address. Skips where it isn't installed.

    Args:
        folder: for its data.
    """
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server")
    folder.mkdir(parents=True)
    port = free_port()
    with (folder / "log").open("wb") as log:
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
