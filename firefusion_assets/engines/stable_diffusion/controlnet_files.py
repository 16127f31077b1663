"""What keeps a ControlNet for inpainting from being used."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from firefusion_assets.engines.stable_diffusion.model_files import read_json, weight_problems

_ALIKE: Final = ("cross_attention_dim", "block_out_channels", "down_block_types", "layers_per_block")
"""What a ControlNet has in common with the U-Net to whose features it adds."""


def controlnet_folder_problems(folder: Path) -> list[str]:
    """Return what keeps a local folder from being used as a ControlNet."""
    if not (folder / "config.json").is_file():
        return [f"{folder} holds no config.json; name the folder of a ControlNet in diffusers' layout, or a hub id"]
    try:
        config = read_json(folder / "config.json")
        return controlnet_problems(config, str(folder)) or list(weight_problems(folder))
    except ValueError as unreadable:
        return [str(unreadable)]


def controlnet_problems(config: dict[str, Any], name: str) -> list[str]:
    """Return what keeps a network from being a ControlNet that sees an image, of Stable Diffusion 1 or 2."""
    kind = config.get("_class_name")
    known = kind == "ControlNetModel" and config.get("addition_embed_type") is None
    if known and config.get("conditioning_channels", 3) == 3 and not config.get("global_pool_conditions"):
        return []
    return [f"{name} ({kind}) is no ControlNet for inpainting with Stable Diffusion 1 or 2; name one that is"]


def misfit(controlnet: dict[str, Any], unet: dict[str, Any]) -> Iterator[str]:
    """Say that a ControlNet is of another model than a U-Net."""
    differ = [
        f"{key} {controlnet.get(key)} and {unet.get(key)}" for key in _ALIKE if controlnet.get(key) != unet.get(key)
    ]
    if differ:
        yield f"ControlNet and U-Net are of two models ({'; '.join(differ)}); name those that belong together"
