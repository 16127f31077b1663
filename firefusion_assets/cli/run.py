"""`firefusion run`."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from firefusion_assets.cli.options import StudyOption, for_this_study, open_study, require_known
from firefusion_assets.core.errors import RequestError
from firefusion_assets.lineage.assets import REPORT


def run(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Configs of the study.")] = None,
    to: Annotated[str, typer.Option("--to", metavar="ASSET", help="The last asset to make.")] = REPORT,
    study: StudyOption = None,
) -> None:
    """Make what is missing or stale for configs, from the raw input to the report.

    What is finished is found and not made again. Steps run by Dagster: its UI shows the same runs.
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
    """Run the lineage for one key after another, and keep Dagster's own words in a file."""
    from firefusion_assets.cli.progress import StepLines, diverted_output
    from firefusion_assets.lineage.assets import ASSETS
    from firefusion_assets.orchestration import running
    from firefusion_assets.orchestration.instance import dagster_home
    from firefusion_assets.steps.object_checks import ALL_CURRENT, meaning

    warned: dict[tuple[str, str], Sequence[str]] = {}
    log = dagster_home() / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    log.parent.mkdir(exist_ok=True)
    try:
        with diverted_output(log) as stream:
            assets = running.steps_to(to)
            for key in keys:
                lines = StepLines(stream, key or study, [asset.path[-1] for asset in assets])
                with lines.shown():
                    running.run(assets, key, lines.tell)
                # What configs share was looked at last by the last of them.
                warned |= {(key if ASSETS[asset].per_config else "", asset): one for asset, one in lines.warned.items()}
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        raise
    except BaseException:
        print(f"Full log: {log}", file=sys.stderr)
        raise
    for check in dict.fromkeys(check for checks in warned.values() for check in checks if check != ALL_CURRENT):
        typer.echo(f"Check {check} warns where this doesn't hold: {meaning(check)}")
