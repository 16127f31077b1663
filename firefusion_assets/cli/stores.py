"""`firefusion verify` and `prune`: whether objects are intact, and which are unused."""

from pathlib import Path
from typing import Annotated

import typer

from firefusion_assets.cli.options import StudyOption, open_study
from firefusion_assets.core.errors import RequestError


def verify(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="base.lmdb or overlay.lmdb of an object.")],
) -> None:
    """Compare every record of patch stores with its checksum."""
    from firefusion_assets.patchstore import PatchStoreError
    from firefusion_assets.patchstore import verify as verifying

    problems = []
    for folder in folders:
        try:
            problems += [f"{folder}: record {key!r} is damaged" for key in verifying.verify(folder)]
        except PatchStoreError as error:
            problems.append(str(error))
    if problems:
        raise RequestError("\n".join([*problems, "Remove the objects that hold these stores and make them again."]))
    typer.echo("every record is as it was written")


def prune(yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False, study: StudyOption = None) -> None:
    """List what no config of the study uses, and remove it after asking."""
    from firefusion_assets.steps import prune as pruning

    lineage = open_study(study)
    unused = pruning.find_unused(lineage)
    if not unused.folders and not unused.pointers:
        typer.echo(f"Every object in {lineage.store.root} is in use.")
        return
    typer.echo(pruning.listing(lineage, unused))
    if not yes and not _confirmed():
        raise RequestError("Nothing was removed.")
    typer.echo(pruning.remove_unused(open_study(study), unused))


def _confirmed() -> bool:
    try:
        return input("Remove them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
