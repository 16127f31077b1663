"""`firefusion init` and `demo`: a study of one's own."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Like(StrEnum):
    """Studies to begin from."""

    demo = "demo"
    activefire = "activefire"


def init(
    folder: Annotated[Path, typer.Argument(help="A new one.")],
    like: Annotated[Like | None, typer.Option(help="Begin from the demo, or from the active fire data set.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder or zip of your images, GeoTIFF or PNG.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder or zip of their masks.")] = None,
    products: Annotated[Path | None, typer.Option(help="Folder of Landsat level-1 products.")] = None,
) -> None:
    """Write a study for your data: settings, four configs, and what Dagster's UI needs."""
    from firefusion_assets.steps.starting import write_study
    from firefusion_assets.study import augmentation_keys

    guesses = write_study(folder, like.value if like else None, images, masks, products)
    typer.echo(f"{folder}: study.yaml, augmentations/, workspace.yaml")
    if guesses:
        typer.echo("\nLook at these in study.yaml:")
        typer.echo("\n".join(f"  {guess}" for guess in guesses))
    keys = " ".join(augmentation_keys(folder))
    typer.echo(
        f"\nNext:\n  firefusion check --study {folder}\n  firefusion run --study {folder} {keys}\n"
        f"  firefusion ui --study {folder}     # the same in Dagster's UI"
    )


def demo(
    folder: Annotated[Path, typer.Argument(help="Made if it isn't there.")] = Path("firefusion-demo"),
) -> None:
    """Run the whole lineage on simulated scenes, and show its report: about ten minutes on two cores."""
    from firefusion_assets.cli.run import run
    from firefusion_assets.lineage.assets import REPORT
    from firefusion_assets.lineage.opening import open_lineage
    from firefusion_assets.steps.reporting import report_table
    from firefusion_assets.steps.starting import write_study
    from firefusion_assets.study import augmentation_keys

    if not (folder / "study.yaml").is_file():
        write_study(folder, "demo", None, None, None)
    run(augmentation_keys(folder), REPORT, folder)
    typer.echo(report_table(open_lineage(folder)))
