"""What a fine-tuning publishes: a whole pipeline, or adapters to the base model."""

import json
from pathlib import Path

from diffusers import DiffusionPipeline

from firefusion_assets.engines.stable_diffusion.base_model import load_base_of
from firefusion_assets.engines.stable_diffusion.pixels import LORA_FILE
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator


def publish(pipeline: DiffusionPipeline, generator: StableDiffusionGenerator, folder: Path) -> None:
    """Write the trained pipeline as `from_pretrained` reads it, or the adapters alone.

    What was not trained is taken from the base model anew: in training it may have been in half precision.
    """
    base = load_base_of(generator)
    if generator.method == "lora":
        _save_adapters(pipeline, folder)
        if not generator.lora.merge:
            return
        merge_adapters(base, folder)
        (folder / LORA_FILE).unlink()
    else:
        base.register_modules(unet=pipeline.unet.to("cpu").eval())
        if generator.train_text_encoder:
            base.register_modules(text_encoder=pipeline.text_encoder.to("cpu").eval())
    base.save_pretrained(folder)


def merge_adapters(pipeline: DiffusionPipeline, folder: Path) -> None:
    """Merge a folder's adapters into a float32 pipeline, so that they take no time when painting.

    Raises:
        ValueError: if the loader takes other adapters than the file holds.
    """
    from peft.utils import get_peft_model_state_dict
    from safetensors import safe_open

    pipeline.load_lora_weights(folder, weight_name=LORA_FILE)
    loaded = {f"unet.{name}" for name in get_peft_model_state_dict(pipeline.unet, adapter_name="default_0")}
    with safe_open(folder / LORA_FILE, "pt") as file:
        lost = sorted(loaded ^ set(file.keys()))
    if lost:  # the loader says nothing of those that it leaves out
        raise ValueError(f"{folder / LORA_FILE}: {len(lost)} adapters don't arrive in the network, such as {lost[0]}")
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()


def _save_adapters(pipeline: DiffusionPipeline, folder: Path) -> None:
    """Write adapters in peft's own format, which diffusers reads whatever layers they are of.

    Its own writer doesn't write the same bytes each time; and in its older format, by whose first name it judges the
    whole file, adapters of some layers would get lost beside those of others.
    """
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    adapters = get_peft_model_state_dict(pipeline.unet)
    settings = next(iter(pipeline.unet.peft_config.values())).to_dict()
    described = json.dumps({f"unet.{name}": value for name, value in settings.items()}, sort_keys=True, default=sorted)
    # One entry: safetensors writes several in any order.
    metadata = {"lora_adapter_metadata": described}
    save_file({f"unet.{name}": value.contiguous() for name, value in adapters.items()}, folder / LORA_FILE, metadata)
