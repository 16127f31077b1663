"""The base model that a config names: a folder on this machine or an id on the hub, and whether it can be used.

Reads names, JSON and the heads of weights only; `base_model` loads them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from firefusion_assets.core.hub import HubError, hub_file
from firefusion_assets.study.engine import Progress

_WEIGHTS: Final = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
"""Names of the weights of each part, without variant and ending."""
_INPAINTING_CHANNELS: Final = 9
"""Noisy latent, mask and latent of the masked image: 4 + 1 + 4."""
_LFS: Final = b"version https://git-lfs"
_AGAIN: Final = "download or convert the model again, with safetensors"


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
    try:
        index = _json(folder / "model_index.json")
        pipeline = str(index.get("_class_name"))
        if "transformer" in index or "XL" in pipeline:
            return [_unsupported(str(folder), pipeline)]
        unet, vae, text_encoder = (_json(folder / part / "config.json") for part in _WEIGHTS)
        _json(folder / "scheduler" / "scheduler_config.json")
        return [
            *unet_problems(unet, str(folder)),
            *_other_parts(folder, unet, vae, text_encoder),
            *_tokenizer_problems(folder, text_encoder),
            *_weight_problems(folder),
        ]
    except ValueError as unreadable:
        return [str(unreadable)]


def unet_problems(config: dict[str, Any], name: str) -> list[str]:
    """Return what keeps a U-Net from being one for inpainting, of Stable Diffusion 1 or 2."""
    if config.get("addition_embed_type") is not None or config.get("_class_name") != "UNet2DConditionModel":
        return [_unsupported(name, str(config.get("_class_name")))]
    channels = config.get("in_channels")
    if channels == _INPAINTING_CHANNELS:
        return []
    return [
        f"{name} is no inpainting model: its U-Net takes {channels} channels, not {_INPAINTING_CHANNELS}; "
        "name an inpainting checkpoint (a text-to-image base can't be fine-tuned or adapted here)"
    ]


def _unsupported(name: str, kind: str) -> str:
    return (
        f"{name} is of a family that isn't supported ({kind}: SDXL, SD 3, Flux and others work otherwise); name an "
        "inpainting checkpoint of Stable Diffusion 1 or 2"
    )


def _other_parts(folder: Path, unet: dict[str, Any], vae: dict[str, Any], text: dict[str, Any]) -> Iterator[str]:
    if vae.get("latent_channels") != 4:
        yield f"{folder}/vae has {vae.get('latent_channels')} latent channels, not 4; take the VAE of the same model"
    wanted, width = unet.get("cross_attention_dim"), text.get("hidden_size")
    if wanted != width:
        yield (
            f"{folder}/text_encoder gives {width} numbers a token, and the U-Net takes {wanted}: the parts are of two "
            f"models; {_AGAIN}"
        )


def _tokenizer_problems(folder: Path, text_encoder: dict[str, Any]) -> Iterator[str]:
    tokenizer, length = folder / "tokenizer", text_encoder.get("vocab_size")
    if (tokenizer / "vocab.json").is_file() and (tokenizer / "merges.txt").is_file():
        tokens = set(_json(tokenizer / "vocab.json"))
        added = tokenizer / "added_tokens.json"
        tokens |= set(_json(added)) if added.is_file() else set()
    elif (tokenizer / "tokenizer.json").is_file():
        tokens = _tokens(tokenizer / "tokenizer.json")
    else:
        yield f"{tokenizer} lacks vocab.json and merges.txt (or tokenizer.json); {_AGAIN}"
        return
    if len(tokens) != length:
        yield f"{tokenizer} knows {len(tokens)} tokens, the text encoder {length}: it is of another model; {_AGAIN}"


def _tokens(file: Path) -> set[str]:
    """Return the tokens that a tokenizer in one file knows.

    Raises:
        ValueError: naming file and remedy.
    """
    whole = _json(file)
    try:
        return {*whole["model"]["vocab"], *(one["content"] for one in whole.get("added_tokens", ()))}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} holds no vocabulary where one is expected ({error!r}); {_AGAIN}") from None


def _weight_problems(folder: Path) -> Iterator[str]:
    """Weights have to be there, whole, and no pointers to them."""
    for part, name in _WEIGHTS.items():
        files = _weight_files(folder / part, name)
        if not files:
            non_ema = any((folder / part).glob("*.non_ema.*"))
            only = " (the non-EMA weights alone aren't those that are meant to paint)" if non_ema else ""
            yield f"{folder}/{part} lacks {name}.safetensors{only}; {_AGAIN}"
        for file in files:
            yield from _damage(file)


def _weight_files(part: Path, name: str) -> list[Path]:
    """Return the weights of a part: one file, or the shards of an index; in half precision where they are so only."""
    for variant in ("", ".fp16"):
        index = part / f"{name}.safetensors.index{variant}.json"
        if (whole := part / f"{name}{variant}.safetensors").is_file():
            return [whole]
        if index.is_file():
            shards = _json(index).get("weight_map")
            if not isinstance(shards, dict) or not shards:
                raise ValueError(f"{index} names no shards; {_AGAIN}")
            return [part / str(shard) for shard in sorted(set(shards.values()))]
    return []


def _damage(file: Path) -> Iterator[str]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        yield f"{file} is missing; {_AGAIN}"
        return
    with file.open("rb") as stream:
        head = stream.read(len(_LFS))
    if head == _LFS:
        yield f"{file} is a pointer of Git LFS and holds no weights; run `git lfs pull` in the folder"
        return
    try:
        with safe_open(file, "np"):
            pass
    except SafetensorError as error:
        yield f"{file} can't be read ({error}): it was cut off, or is no safetensors; {_AGAIN}"


def _json(file: Path) -> dict[str, Any]:
    """Return the object in a file.

    Raises:
        ValueError: naming file and remedy.
    """
    if not file.is_file():
        raise ValueError(f"{file.parent} lacks {file.name}; {_AGAIN}")
    content = file.read_bytes()
    if content.startswith(_LFS):
        raise ValueError(f"{file} is a pointer of Git LFS; run `git lfs pull` in the folder")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON ({error}); {_AGAIN}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file} holds {type(values).__name__}, not keys with values; {_AGAIN}")
    return values


def hub_problems(base_model: str, revision: str, progress: Progress) -> list[str]:
    """Return what keeps a hub id from being used."""
    try:
        config = hub_file(base_model, "unet/config.json", revision, progress)
    except HubError as error:
        return [f"{error}, or download it elsewhere and name the local folder"]
    try:
        return unet_problems(_json(config), base_model)
    except ValueError as unreadable:
        return [str(unreadable)]
