"""The folder `segmenter/`: a trained network as safetensors and ONNX, with its model card."""

import shutil
from pathlib import Path
from typing import Final

from huggingface_hub import ModelCardData

from firefusion_assets.segmentation.onnx_export import export_onnx
from firefusion_assets.segmentation.trained import RECORD_FILE, WEIGHTS_FILE, load_network
from firefusion_assets.steps.publishing.card import Subject, write_card

ONNX_FILE: Final = "model.onnx"


def write_segmenter(subject: Subject, folder: Path) -> str:
    """Write the network of one fold and replicate into a new folder; return a line on it.

    Raises:
        MissingUpstreamError: if it was not trained or not measured.
    """
    trained = subject.lineage.find("trained_unet", subject.key).path / subject.replicate.folder
    folder.mkdir()
    for name in (WEIGHTS_FILE, RECORD_FILE):
        shutil.copyfile(trained / name, folder / name)
    network, record = load_network(trained)
    export_onnx(network, record.normalisation, folder / ONNX_FILE)
    fold, training = subject.replicate.fold, record.training
    front = ModelCardData(
        model_name=f"{subject.study.name}-{subject.key}",
        license="apache-2.0",
        library_name="onnx",
        pipeline_tag="image-segmentation",
        tags=["remote-sensing", "semantic-segmentation", "firefusion", *_tags(subject)],
        eval_results=subject.eval_results() or None,
    )
    architecture = training.architecture
    if architecture.startswith("smp-"):
        weights = f"weights {training.encoder_weights}" if training.encoder_weights else "random weights at first"
        architecture = f"{architecture} with encoder {training.encoder} ({weights})"
    write_card(
        subject,
        folder,
        "segmenter.md",
        front,
        record=record,
        architecture=architecture,
        n_parameters=sum(parameter.numel() for parameter in network.parameters()),
        counts={part: len(patches) for part, patches in (("train", fold.train), ("val", fold.val))},
        n_evaluated=len(fold.evaluated),
        n_fire=len(fold.train.statistics.fire),
        n_painted=len(subject.painted_ids),
        n_held_back=len(subject.patches.added_ids) - len(subject.painted_ids),
        n_replicates=len(subject.figures),
        figures=subject.shown_figures(),
        saved=(WEIGHTS_FILE, RECORD_FILE, ONNX_FILE),
    )
    dice = subject.shown_figures()[0]
    return f"{folder}: the network of {subject.replicate.folder}, Dice {dice['own']}"


def _tags(subject: Subject) -> list[str]:
    return ["landsat", "wildfire"] if subject.study.dataset.landsat else []
