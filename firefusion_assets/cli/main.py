"""The command `firefusion`: its subcommands, and how it reports errors.

Whatever is heavy is imported inside the command that needs it, so that help and typing errors come at once.
"""

import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from firefusion_assets.cli import data, exchange, fine_tune, fire_map, publish, run, show, start, stores, ui
from firefusion_assets.cli.options import for_this_study
from firefusion_assets.core.errors import UserError


class _TellingGroup(TyperGroup):
    """Reports errors that a person can repair by their message alone, as the last lines; exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (UserError, OSError) as error:
            print(for_this_study(str(error)), file=sys.stderr)
            raise typer.Exit(1) from None


app = typer.Typer(
    name="firefusion",
    cls=_TellingGroup,
    help="Does painted fire help a segmentation network? From Landsat-8 patches to a Dice figure a config.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "init": start.init,
    "demo": start.demo,
    "run": run.run,
    "status": show.status,
    "check": show.check,
    "doctor": show.doctor,
    "report": show.report,
    "ui": ui.ui,
    "settings": show.settings,
    "curve": show.curve,
    "map": fire_map.fire_map,
    "export": exchange.export,
    "publish": publish.publish,
    "handout": exchange.handout,
    "similarity": exchange.similarity,
    "single-file": exchange.single_file,
    "fine-tune": fine_tune.fine_tune,
    "verify": stores.verify,
    "prune": stores.prune,
    "data": data.data,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.command("fine-tune-job", hidden=True)(fine_tune.fine_tune_job)


def main() -> None:
    """Run the command line."""
    app(prog_name="firefusion")
