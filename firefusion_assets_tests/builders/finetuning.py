"""Fine-tunings of tiny Stable Diffusion models, with the trainer in this process."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

from accelerate.state import AcceleratorState

from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.engine import Run

UNET: Final = "unet/diffusion_pytorch_model.safetensors"
ADAPTERS: Final = "pytorch_lora_weights.safetensors"


def generator(base_model: Path | str, **changes: Any) -> StableDiffusionGenerator:
    """Three steps at 64 px."""
    settings = {
        "engine": "stable-diffusion", "base_model": str(base_model), "crop": 16, "resolution": 64, "mask_variants": 2,
        "train_batch_size": 2, "max_train_steps": 3, "learning_rate": 1e-3,
    }  # fmt: skip
    return StableDiffusionGenerator.model_validate(settings | changes)


def finetune(
    settings: StableDiffusionGenerator, part: PatchPart, work: Path, progress: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Fit into a new folder or an earlier attempt's; return the facts."""

    def launch(trainer: str, job: Path) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)  # one process, several number formats
        resolve_name(trainer)(job, progress)

    work.mkdir(exist_ok=True)
    return settings.fit(part, work, Run(progress, launch))


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of a folder by the names of the files."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
