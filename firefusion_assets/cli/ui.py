"""`firefusion ui`: Dagster's UI for a study, with the pictures and reports that its pages link to."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from firefusion_assets.cli.options import StudyOption, open_study
from firefusion_assets.core.errors import RequestError
from firefusion_assets.steps.addresses import address


def ui(
    study: StudyOption = None,
    workspace: Annotated[
        Path | None, typer.Option(help="Show the studies that a workspace.yaml lists, instead of one.")
    ] = None,
    port: Annotated[int, typer.Option(help="Where Dagster answers, on 127.0.0.1.")] = 3000,
) -> None:
    """Show a study in Dagster's UI until Ctrl-C: the runs of `firefusion run`, schedules, pictures and reports."""
    from firefusion_assets.cli.show import report_server_of
    from firefusion_assets.orchestration.instance import open_instance

    if workspace is None:
        lineage = open_study(study)
        os.environ["FIREFUSION_STUDY"] = str(lineage.folder)
        shown = ["-m", "firefusion_assets.definitions"]
    elif workspace.is_file():
        shown = ["-w", str(workspace)]
    else:
        raise RequestError(f"--workspace {workspace}: there is no such file")
    with open_instance():
        pass  # Dagster's several processes find it set up
    # The UI loads the very code that this command runs.
    command = [sys.executable, "-m", "dagster", "dev", *shown, "-h", "127.0.0.1", "-p", str(port)]
    typer.echo(f"Dagster: http://127.0.0.1:{port}/   Reports: {address()}/")
    reports = urlsplit(address())
    if reports.hostname in ("127.0.0.1", "localhost"):  # else another machine serves them
        server = report_server_of(study, several=workspace is not None, port=reports.port or 80)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    # A terminal sends Ctrl-C to both; Dagster ends its own processes, and this one waits for it. Not ignored: Dagster
    # would inherit that.
    signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen(command)  # noqa: S603 - our own command
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    raise typer.Exit(max(process.wait(), 0))
