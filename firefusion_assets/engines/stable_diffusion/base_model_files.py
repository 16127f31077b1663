"""The base model that a config names: a folder on this machine or an id on the hub, and whether it can be used.

Reads small JSON files only; `base_model` loads the weights.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

PARTS = ("unet", "vae", "text_encoder")
_INPAINTING_CHANNELS = 9
"""Noisy latent, mask and latent of the masked image: 4 + 1 + 4."""


def local_folder(base_model: str, study_folder: Path) -> Path | None:
    """Return the folder that a base model names, or nothing if it is a hub id.

    A path that starts with ``/``, ``.`` or ``~`` is a folder, there or not; anything else if it exists below the
    study folder.
    """
    folder = study_folder / Path(base_model).expanduser()
    return folder.resolve() if base_model.startswith(("/", ".", "~")) or folder.is_dir() else None


def folder_problems(folder: Path) -> list[str]:
    """Return what keeps a local folder from being used as an inpainting pipeline in diffusers' layout."""
    if not (folder / "model_index.json").is_file():
        return [f"{folder} holds no model_index.json; name a folder in diffusers' layout, or a hub id"]
    missing = [part for part in PARTS if not (folder / part / "config.json").is_file()]
    missing += [f"{part}/*.safetensors" for part in PARTS if not any((folder / part).glob("*.safetensors"))]
    if missing:
        return [f"{folder} lacks {', '.join(missing)}; download or convert the model again, with safetensors"]
    return inpainting_problems(json.loads((folder / "unet" / "config.json").read_text()), str(folder))


def inpainting_problems(unet_config: dict[str, Any], name: str) -> list[str]:
    """Return what keeps a U-Net from being one for inpainting."""
    channels = unet_config.get("in_channels")
    if channels == _INPAINTING_CHANNELS:
        return []
    return [
        f"{name} is no inpainting model: its U-Net takes {channels} channels, not {_INPAINTING_CHANNELS}; "
        "name an inpainting checkpoint (a text-to-image base can't be fine-tuned or adapted here)"
    ]


@cache
def hub_problems(base_model: str, revision: str) -> list[str]:
    """Return what keeps a hub id from being used; looks it up, or in the local cache when offline.

    Once a process: without a network each look takes half a minute, and many configs share a base model.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        config = hf_hub_download(base_model, "unet/config.json", revision=revision)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        return [
            f"{base_model!r} (revision {revision!r}) can't be had from the hub: {reason} Accept its licence and log in "
            "(hf auth login) if it is gated, or download it elsewhere and name the local folder"
        ]
    return inpainting_problems(json.loads(Path(config).read_text()), base_model)
