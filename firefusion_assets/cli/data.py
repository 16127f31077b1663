"""`firefusion data`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from firefusion_assets.cli.options import require_known
from firefusion_assets.core.errors import RequestError

INPUT: Final = Path(__file__).parents[2] / "data" / "activefire" / "input"


def data(
    regions: Annotated[
        list[str] | None, typer.Argument(metavar="REGION", help="Parts of the big set to bring too.")
    ] = None,
    into: Annotated[Path, typer.Option(help="The input folder.")] = INPUT,
) -> None:
    """Download the active fire data set; at the end list everything that could not be downloaded."""
    from firefusion_assets.ingest import download, fetching

    require_known(regions or [], download.REGIONS, "region")
    problems = []
    for archive in (*download.MANUAL, *(download.REGIONS[name] for name in regions or [])):
        try:
            download.bring(archive, into, print)
        except fetching.DownloadError as error:
            problems.append(f"{archive.name}.zip: {error}.\n{archive.by_hand(into)}")
    if problems:
        raise RequestError("\n\n".join(problems))
