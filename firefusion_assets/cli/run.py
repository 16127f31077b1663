"""`firefusion run`."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from typing import Annotated, TextIO, cast

import typer

from firefusion_assets.cli.options import StudyOption, for_this_study, open_study, require_known
from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.workers import Progress, Workers
from firefusion_assets.lineage.assets import REPORT

_Warned = dict[tuple[str, str], Sequence[str]]
"""Names of the checks that warn, by key (empty for what configs share) and asset."""


def run(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Configs of the study.")] = None,
    to: Annotated[str, typer.Option("--to", metavar="ASSET", help="The last asset to make.")] = REPORT,
    study: StudyOption = None,
) -> None:
    """Make what is missing or stale for configs, from the raw input to the report.

    What is finished is found and not made again. Steps run by Dagster: its UI shows the same runs. Several configs
    run at once where pool `gpu` has several slots.
    """
    from firefusion_assets.lineage.assets import ASSETS, AssetName
    from firefusion_assets.study import augmentation_keys

    lineage = open_study(study)
    known = augmentation_keys(lineage.folder)
    require_known([to], ASSETS, "asset")
    last = cast(AssetName, to)
    # What all configs share needs no key.
    shared = not ASSETS[last].per_config and last != REPORT
    chosen = [""] if shared else list(dict.fromkeys(keys or []))
    require_known(keys or [], known, "config")
    if not chosen:
        raise RequestError(f"Name a config, or several. There are: {', '.join(known)}")
    open_study(study, *(keys or []))
    # The code location and every process of a step read it there.
    os.environ["FIREFUSION_STUDY"] = str(lineage.folder)
    _materialize(chosen, to, lineage.study.name)
    if to == REPORT:
        from firefusion_assets.steps.reporting import report_figures

        typer.echo(for_this_study(report_figures(lineage, chosen)))
    else:
        for key in chosen:
            typer.echo(lineage.find(last, key).path)


def _materialize(keys: list[str], to: str, study: str) -> None:
    """Run the lineage for each key, as many at once as keep all GPUs busy; keep Dagster's own words in a file."""
    from firefusion_assets.cli.progress import diverted_output
    from firefusion_assets.orchestration import running
    from firefusion_assets.orchestration.instance import dagster_home
    from firefusion_assets.steps.object_checks import ALL_CURRENT, meaning

    log = dagster_home() / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    log.parent.mkdir(exist_ok=True)
    try:
        with diverted_output(log) as stream:
            n = min(len(keys), running.runs_at_once()) if len(keys) > 1 else 1
            if n > 1:
                warned = _side_by_side(keys, to, n, lambda line: print(line, file=stream))
            else:
                warned = {name: one for key in keys for name, one in _run_key(key, to, key or study, stream).items()}
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        raise
    except BaseException:
        print(f"Full log: {log}", file=sys.stderr)
        raise
    for check in dict.fromkeys(check for checks in warned.values() for check in checks if check != ALL_CURRENT):
        typer.echo(f"Check {check} warns where this doesn't hold: {meaning(check)}")


def _run_key(key: str, to: str, name: str, stream: TextIO) -> _Warned:
    """Run the lineage for a key; write a line a step, which begins with a name."""
    from firefusion_assets.cli.progress import StepLines
    from firefusion_assets.lineage.assets import ASSETS
    from firefusion_assets.orchestration import running

    assets = running.steps_to(to)
    lines = StepLines(stream, name, [asset.path[-1] for asset in assets])
    with lines.shown():
        running.run(assets, key, lines.tell)
    # What configs share was looked at last by the last of them.
    return {(key if ASSETS[asset].per_config else "", asset): one for asset, one in lines.warned.items()}


def _side_by_side(keys: list[str], to: str, n: int, progress: Progress) -> _Warned:
    """Run the lineage for several keys, so many at once, each in a process that a signal or kill ends as it does one.

    A key that fails leaves the others alone.

    Raises:
        RunError: if some failed, with the reasons of each.
    """
    from firefusion_assets.orchestration.running import RunError

    warned: _Warned = {}
    failed: list[str] = []
    with Workers[str, _Warned | str](n, partial(_runner, to), "the run of {}".format, progress) as workers:
        for outcome in workers.as_done(keys):
            if isinstance(outcome, str):
                failed.append(outcome)
            else:
                warned |= outcome
    if failed:
        raise RunError("\n".join(failed))
    return warned


def _runner(to: str, slot: int) -> Callable[[str, Progress], _Warned | str]:
    """Return what runs a key in a process of its own: it returns the checks that warn, or why it failed."""
    from firefusion_assets.orchestration.running import RunError

    def run_key(key: str, progress: Progress) -> _Warned | str:
        try:
            return _run_key(key, to, key, _Told(progress))
        except RunError as error:
            return f"{key}: {error}"

    return run_key


class _Told(StringIO):
    """A stream whose lines are told to the process that prints them."""

    def __init__(self, tell: Progress) -> None:
        super().__init__()
        self._tell = tell

    def write(self, text: str) -> int:
        self._tell(text.rstrip("\n"))
        return len(text)
