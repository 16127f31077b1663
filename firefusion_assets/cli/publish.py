"""`firefusion publish`: trained network, generator and painted patches in folders for the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from firefusion_assets.cli.options import Fold, Key, StudyOption, open_study


def publish(
    key: Key,
    folder: Annotated[Path, typer.Argument(help="A new one; gets segmenter/, generator/ and synthetic-set/.")],
    fold: Fold = 0,
    replicate: Annotated[int, typer.Option(help="Number of the replicate.")] = 0,
    study: StudyOption = None,
) -> None:
    """Write a config's network (ONNX too), generator and painted patches with cards, to be uploaded."""
    from firefusion_assets.steps.publishing.publish import publish_config

    publish_config(open_study(study, key), key, folder, fold, replicate, typer.echo)
