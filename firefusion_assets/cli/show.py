"""`firefusion status`, `check`, `doctor`, `report`, `settings` and `curve`: what there is of studies."""

import os
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firefusion_assets.cli.options import StudyOption, for_this_study, open_study
from firefusion_assets.core.errors import RequestError
from firefusion_assets.steps.addresses import PORT

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from firefusion_assets.lineage.fingerprints import Lineage
    from firefusion_assets.steps.overview import Failures
    from firefusion_assets.steps.status import AssetState

_COLOURS = {
    "current": "green",
    "stale": "yellow",
    "missing": "yellow",
    "running": "cyan",
    "failed": "red",
    "invalid": "red",
}


def status(study: StudyOption = None) -> None:
    """Tell which objects are those of today's settings and data, and what makes the others."""
    from firefusion_assets.cli.progress import duration
    from firefusion_assets.cli.terminal import print_table
    from firefusion_assets.lineage.remedies import run_command
    from firefusion_assets.steps.overview import overview, prices, total

    lineage = open_study(study)
    states = overview(lineage, lambda: _failures(lineage.study.name))
    groups = [list(group) for _, group in groupby(states, lambda one: (one.key, one.state, one.why))]
    typer.echo(f"{lineage.folder}, objects in {lineage.store.place}\n")
    print_table(
        *("config", "assets", "state", "Dice", "checks", "why"),
        rows=[_row(lineage, group, states) for group in groups],
    )
    old = [state for state in states if state.command]
    if old:
        keys = dict.fromkeys(state.key for state in old if state.key)
        command = run_command(" ".join(keys)) if keys else old[-1].command
        due = total(prices(states))
        if due.hours:
            gpu = f" ({duration(3600 * due.gpu_hours)} with a GPU)" if due.gpu_hours else ""
            typer.echo(f"\nBy past runs that takes {duration(3600 * due.hours)}{gpu} and {due.disk / 2**20:,.0f} MiB.")
        typer.echo(for_this_study(f"\nTo make all current: {command}"))


def check(study: StudyOption = None) -> None:
    """Tell all that is wrong with a study, its configs and its raw input, before any work."""
    from firefusion_assets.lineage.opening import open_lineage
    from firefusion_assets.steps.checking import check_study

    lineage = open_lineage(study)
    checked = check_study(lineage, lambda line: typer.echo(line, err=True))
    typer.echo("\n".join([str(lineage.folder), *checked.found]))
    if checked.problems:
        count = f"{len(checked.problems)} problem{'s' if len(checked.problems) > 1 else ''}:"
        raise RequestError("\n".join([count, *checked.problems]))
    typer.echo("No problem found.")


def doctor(study: StudyOption = None) -> None:
    """Tell versions, devices, disk, Dagster's pool, slots and locks, and what to mend; changes nothing."""
    from firefusion_assets.cli.terminal import print_table
    from firefusion_assets.orchestration.doctor import examine
    from firefusion_assets.orchestration.instance import dagster_home

    lineage = open_study(study)
    findings = list(examine(lineage, dagster_home()))
    print_table("what", "found", "to mend", rows=[(one.what, one.found, one.mend) for one in findings])
    to_mend = sum(bool(one.mend) for one in findings)
    typer.echo(f"\n{to_mend or 'Nothing'} to mend.")


def report(
    study: StudyOption = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve reports and pictures on 127.0.0.1 until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where to serve.")] = PORT,
) -> None:
    """Show the last comparison of all configs, and the path of the report; or serve the reports to a browser."""
    if serve:
        server = report_server_of(study, several=study is None and not os.environ.get("FIREFUSION_STUDY"), port=port)
        typer.echo(f"Reports: http://127.0.0.1:{server.server_port}/")
        with server, suppress(KeyboardInterrupt):
            server.serve_forever()
        return
    from firefusion_assets.steps.reporting import report_table

    typer.echo(report_table(open_study(study)))


def settings() -> None:
    """Print what every key of study.yaml and of the configs means."""
    from firefusion_assets.study.reference import reference

    typer.echo(reference(), nl=False)


def curve(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="Study folders, each with a report.")],
    output: Annotated[Path, typer.Option(help="The chart; the figures go beside it as CSV.")] = Path("curve.png"),
) -> None:
    """Draw Dice against how many real burning patches several studies train on."""
    if not output.parent.is_dir():
        raise RequestError(f"--output {output}: there is no such folder; make it first")
    from firefusion_assets.report.plots import write_scarcity_curve
    from firefusion_assets.steps.curve import scarcity_table

    rows = scarcity_table([open_study(study) for study in studies])
    write_scarcity_curve(rows, output)
    rows.to_csv(output.with_suffix(".csv"), index=False)
    typer.echo(f"{output}\n{output.with_suffix('.csv')}")


def report_server_of(study: Path | None, several: bool, port: int = PORT) -> "ThreadingHTTPServer":
    """Return a server of the reports of one study, or of all that a UI of several shows.

    Raises:
        RequestError: if the port is taken.
    """
    from firefusion_assets.lineage.opening import studies_folder
    from firefusion_assets.steps.serving import report_server
    from firefusion_assets.study import StudyError

    lineages = [] if several else [open_study(study)]
    if several:
        for file in sorted(studies_folder().glob("*/study.yaml")):
            try:
                lineages.append(open_study(file.parent))
            except StudyError as error:  # one of several, and no reason to hide the others
                typer.echo(f"Not served: {error}", err=True)
    try:
        return report_server({lineage.study.name: lineage for lineage in lineages}, port)
    except OSError as error:
        raise RequestError(f"127.0.0.1:{port} can't be used ({error.strerror}); choose another with --port") from error


def _failures(study: str) -> "Failures":
    from firefusion_assets.orchestration.running import failures_at_home  # Dagster, which takes a while

    return failures_at_home(study)


def _row(lineage: "Lineage", group: "list[AssetState]", states: "list[AssetState]") -> tuple[str, ...]:
    """Return the row of assets of one config that have one state for one reason."""
    from firefusion_assets.steps.overview import unmet_checks

    headline = lineage.study.report.headline
    checks = [check for state in group for check in unmet_checks(lineage, state)]
    first, names = group[0], ", ".join(state.asset for state in group)
    if first.key and len(group) == sum(state.key == first.key for state in states):
        names = "all"
    colour = _COLOURS[first.state]
    dices = [
        f"{100 * state.artifact.facts[headline]:.1f}"
        for state in group
        if state.asset == "dice_metrics" and state.artifact is not None and headline in state.artifact.facts
    ]
    return first.key, names, f"[{colour}]{first.state}[/]", "".join(dices), ", ".join(checks), first.why
