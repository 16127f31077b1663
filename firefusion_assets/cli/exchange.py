"""`firefusion export`, `handout`, `similarity` and `single-file`: what other programs are given."""

from pathlib import Path
from typing import Annotated

import typer

from firefusion_assets.cli.options import Fold, Key, StudyOption, open_study, require_known
from firefusion_assets.core.errors import RequestError


def export(
    key: Key,
    folder: Annotated[
        Path, typer.Argument(help="A new one; form thesis makes one in it for each fold and replicate of several.")
    ],
    form: Annotated[
        str, typer.Option(help="thesis (training data), gis (rasters and outlines) or coco (training data).")
    ] = "thesis",
    study: StudyOption = None,
) -> None:
    """Write a config's data for other programs."""
    from firefusion_assets.steps.exporting import FORMS

    require_known([form], FORMS, "form")
    FORMS[form](open_study(study, key), key, folder, typer.echo)


def handout(
    key: Key,
    folder: Annotated[Path, typer.Argument(help="A new one for backgrounds, masks and pairs.csv.")],
    fold: Fold = 0,
    size: Annotated[
        int | None, typer.Option(help="px, a whole multiple of the patch size.", show_default="the patch size")
    ] = None,
    study: StudyOption = None,
) -> None:
    """Write a plan's backgrounds and masks as PNG, to be painted on."""
    from firefusion_assets.steps.handout import hand_out_plan

    count = hand_out_plan(open_study(study, key), key, folder, fold, size)
    typer.echo(f"{count} backgrounds and masks: {folder / 'pairs.csv'}")


def similarity(
    key: Key,
    model: Annotated[str, typer.Option(help="Hub id or local folder.")] = "openai/clip-vit-base-patch32",
    output: Annotated[Path, typer.Option(help="The table.")] = Path("similarity.csv"),
    study: StudyOption = None,
) -> None:
    """Compare a config's accepted synthetic fires with the real fires of the train part by CLIP."""
    if not output.parent.is_dir():
        raise RequestError(f"--output {output}: there is no such folder; make it first")
    lineage = open_study(study, key)
    # Report what the study lacks before loading a model.
    lineage.find("screened_images", key)
    from firefusion_assets.inpainting.similarity import ClipEncoder
    from firefusion_assets.steps.similarity import similarity_summary, study_similarity

    table = study_similarity(lineage, key, ClipEncoder(model))
    if table.empty:
        raise RequestError(f"{key} has no accepted synthetic patch; there is nothing to compare")
    table.to_csv(output, index=False)
    typer.echo(f"{similarity_summary(table)}\nTable: {output}")


def single_file(
    folder: Annotated[Path, typer.Argument(help="A pipeline with a model_index.json, for example MODEL/fold-0.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    full: Annotated[bool, typer.Option("--full", help="Keep the folder's precision instead of float16.")] = False,
) -> None:
    """Write a Stable Diffusion pipeline as one checkpoint for web UIs."""
    from firefusion_assets.engines.stable_diffusion.single_file import export_single_file

    export_single_file(folder, target, half=not full)
    typer.echo(target)
