"""`firefusion verify` and `prune`: whether objects are intact, and which are unused."""

from pathlib import Path
from typing import Annotated

import typer

from firefusion_assets.cli.options import StudyOption, noted, open_study
from firefusion_assets.core.errors import RequestError


def verify(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="base.lmdb or overlay.lmdb: compare their records one by one."),
    ] = None,
    study: Annotated[Path | None, typer.Option("--study", metavar="FOLDER", help="The study.")] = None,
) -> None:
    """Compare all that a study has made with what was published; set aside what is damaged, which `run` makes again."""
    if not folders:
        _verify_objects(noted(study))
        return
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


def _verify_objects(study: Path | None) -> None:
    lineage, broken = open_study(study), list[str]()
    objects = list(lineage.store.objects())
    for asset, fingerprint in objects:
        broken += lineage.store.verify(asset, fingerprint)
    if broken:
        raise RequestError("\n".join([*broken, "What is needed of it is made again by: firefusion run KEY"]))
    typer.echo(f"{len(objects)} objects in {lineage.store.place}: {lineage.store.verified}")


def prune(yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False, study: StudyOption = None) -> None:
    """List what no config of the study uses, and remove it after asking."""
    from firefusion_assets.steps import prune as pruning

    lineage = open_study(study)
    unused = pruning.find_unused(lineage)
    if not unused.folders and not unused.pointers:
        typer.echo(f"Every object in {lineage.store.place} is in use.")
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
