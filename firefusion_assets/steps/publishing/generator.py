"""The folder `generator/`: what an engine learned of a fold, with its model card."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import pandas as pd
from huggingface_hub import ModelCardData

from firefusion_assets.inpainting.verdicts import SURPLUS
from firefusion_assets.steps.publishing.card import Subject, write_card

_PIPELINE: Final = "model_index.json"


def model_folder(subject: Subject) -> Path | None:
    """Return the folder with what an engine learned; None for an engine that has no weights.

    Raises:
        MissingUpstreamError: if the engine was not fitted.
    """
    model = subject.lineage.find("finetuned_model", subject.key).path
    replicate = subject.replicate
    folder = model / (replicate.folder if subject.study.replicates.refit else replicate.fold.folder)
    has_weights = next(folder.rglob("*.safetensors"), None) is not None
    return folder if has_weights and subject.config.generator.pipeline else None


def write_generator(subject: Subject, model: Path, folder: Path) -> str:
    """Copy a model into a new folder, and write its card; return a line on it."""
    shutil.copytree(model, folder)
    generator = subject.config.generator
    base_model = getattr(generator, "base_model", "")
    is_local = bool(base_model) and generator.resolved(subject.lineage.config_folder(subject.key)) != generator
    on_hub = base_model if base_model and not is_local else None
    adapters = not (folder / _PIPELINE).is_file()
    licence: dict[str, Any] = {"license": "apache-2.0"} if not base_model else {"license": "unknown"}
    if on_hub:
        licence = {
            "license": "other",
            "license_name": "that-of-the-base-model",
            "license_link": f"https://huggingface.co/{on_hub}",
        }
    front = ModelCardData(
        model_name=f"{subject.study.name}-{subject.key}-generator",
        **licence,
        library_name="diffusers",
        pipeline_tag="image-to-image",
        base_model=on_hub,
        base_model_relation=("adapter" if adapters else "finetune") if on_hub else None,
        tags=["remote-sensing", "inpainting", "synthetic-data", "firefusion"],
    )
    rows, screening = screened(subject)
    write_card(
        subject,
        folder,
        "generator.md",
        front,
        words=" ".join((type(generator).__doc__ or "").split()),
        base_model=base_model,
        is_local=is_local,
        revision=getattr(generator, "revision", ""),
        adapters=adapters,
        learned=json.loads((model / "facts.json").read_text()),
        settings=generator.model_dump(mode="json"),
        n_train=len(subject.replicate.fold.train),
        n_fire=len(subject.replicate.fold.train.statistics.fire),
        seed=getattr(generator, "seed", None),
        refit=subject.study.replicates.refit,
        tried=len(rows),
        **screening,
    )
    return f"{folder}: engine {generator.engine}, {screening['share']} of what it painted passes"


def screened(subject: Subject) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the verdicts on all that this fold's model painted, and what cards say of them.

    Returns:
        The rows of `verdicts.parquet`: of this replicate alone where the model is its own, else of all of the fold.
        `n_passed`, `share` (of those that were painted) and `reasons`, how many were rejected for which.
    """
    folder, replicate = subject.lineage.find("screened_images", subject.key).path, subject.replicate
    mine = folder / replicate.folder
    folders = [mine] if subject.study.replicates.refit else sorted(mine.parent.glob("replicate-*"))
    rows = pd.concat([pd.read_parquet(one / "verdicts.parquet") for one in folders], ignore_index=True)
    passed = rows["reason"].isin(["", SURPLUS])
    # How little it was differs from patch to patch.
    kinds = [re.sub(r"only \d+%", "too little", reason) for reason in rows.loc[~passed, "reason"]]
    return rows, {
        "n_passed": int(passed.sum()),
        "share": f"{100 * passed.mean():.1f} %" if len(rows) else "nothing",
        "reasons": pd.Series(kinds, dtype=object).value_counts().sort_index().to_dict(),
    }
