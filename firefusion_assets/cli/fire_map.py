"""`firefusion map`: fire maps of whole scenes."""

from pathlib import Path
from typing import Annotated

import typer

from firefusion_assets.cli.options import StudyOption, open_study


def fire_map(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A config: all its networks map together. KEY/fold-0/replicate-0 for one, or a folder with networks.",
        ),
    ],
    scenes: Annotated[
        list[Path],
        typer.Argument(metavar="SCENE...", help="Level-1 products, folders of products or images, image files."),
    ],
    output: Annotated[Path, typer.Option(help="Gets a folder a scene.")] = Path("maps"),
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Probability of fire.",
            show_default="the study's evaluation.threshold when they were trained",
        ),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Bands of images in file order, with commas.", show_default="theirs, else the study's"),
    ] = None,
    study: StudyOption = None,
) -> None:
    """Map fires in whole scenes: probability, spread over the networks, mask, and fires as polygons."""
    lineage = open_study(study)
    from firefusion_assets.steps.mapping import load_model, map_scenes, network_folders

    loaded = load_model(network_folders(lineage, model), threshold)
    of_images = bands.split(",") if bands else lineage.study.dataset.image_bands
    map_scenes(loaded, scenes, of_images, output, typer.echo)
