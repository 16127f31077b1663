"""What several commands take, and how what they are given is looked at."""

import difflib
import os
import re
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firefusion_assets.core.errors import RequestError

if TYPE_CHECKING:
    from firefusion_assets.lineage.fingerprints import Lineage

_named: ContextVar[Path | None] = ContextVar("_named", default=None)


def noted(study: Path | None) -> Path | None:
    """Note the study that was named, and say so where none was: the demo isn't what most people mean."""
    _named.set(study)
    if study is None and not os.environ.get("FIREFUSION_STUDY"):
        typer.echo("No study is named, so this is the demo; name yours by --study or FIREFUSION_STUDY.", err=True)
    return study


StudyOption = Annotated[
    Path | None,
    typer.Option(
        "--study", metavar="FOLDER", help="The study.", show_default="FIREFUSION_STUDY, else the demo", callback=noted
    ),
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="A config of the study.")]
Fold = Annotated[int, typer.Option(help="Number of the fold.")]


def for_this_study(text: str) -> str:
    """Return a text whose commands name the study as the command line did, so that they can be copied."""
    study = _named.get()
    return text if study is None else re.sub(r"firefusion run(?: [\w-]+)+", rf"\g<0> --study {study}", text)


def open_study(study: Path | None, *keys: str) -> "Lineage":
    """Return the lineage of the study that a command is about; its configs are read.

    Raises:
        StudyError: with all that is wrong with the study or these configs.
    """
    from firefusion_assets.lineage.opening import open_lineage
    from firefusion_assets.study import StudyError

    lineage, problems = open_lineage(study), list[str]()
    _ = lineage.study
    for key in keys:
        try:
            lineage.config(key)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(dict.fromkeys(problems))
    return lineage


def require_known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Stop if a name isn't known, with what is meant perhaps and what there is.

    Raises:
        RequestError: for the first such name.
    """
    known = list(known)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise RequestError(f"There is no {what} {name!r}{hint} There are: {', '.join(known)}")
