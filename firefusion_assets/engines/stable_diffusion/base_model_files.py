"""What keeps the files of a base model from being used.

Reads names, JSON and the heads of weights only; `base_model` loads them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from firefusion_assets.engines.stable_diffusion.controlnet_files import controlnet_problems, misfit
from firefusion_assets.engines.stable_diffusion.model_files import AGAIN, read_json, weight_problems

_TEXT_ENCODERS: Final = {None: ("text_encoder",), "text_time": ("text_encoder", "text_encoder_2")}
"""Text encoders by what a U-Net is told beside tokens (`addition_embed_type`): nothing (Stable Diffusion 1 and 2), or
the whole prompt and sizes (SDXL)."""
_XL: Final = "text_time"
_SIZES: Final = 6
"""Numbers that SDXL is told of sizes: original, cut and target, two each."""
_CHANNELS: Final = {False: 9, True: 4}
"""Of a U-Net without and with a ControlNet: noisy latent, mask and latent of the masked image, or the first alone."""


class Use(NamedTuple):
    """What a config does with a base model.

    Attributes:
        trains_text: it trains the text encoder.
        controlled: a ControlNet tells what is known; otherwise the U-Net is told.
    """

    trains_text: bool = False
    controlled: bool = False


def folder_problems(folder: Path, use: Use) -> list[str]:
    """Return what keeps a local folder from being used as an inpainting pipeline in diffusers' layout."""
    if not (folder / "model_index.json").is_file():
        return [f"{folder} holds no model_index.json; name a folder in diffusers' layout, or a hub id"]
    try:
        index = read_json(folder / "model_index.json")
        pipeline = str(index.get("_class_name"))
        if "transformer" in index:
            return [_unsupported(str(folder), pipeline)]
        unet = read_json(folder / "unet" / "config.json")
        if not _is_supported(unet):
            return unet_problems(unet, str(folder), use)
        if ("XL" in pipeline) != (unet.get("addition_embed_type") == _XL):
            return [f"{folder}/model_index.json says {pipeline}, and the U-Net is of another family; {AGAIN}"]
        encoders = _TEXT_ENCODERS[unet.get("addition_embed_type")]
        vae, *texts = (read_json(folder / part / "config.json") for part in ("vae", *encoders))
        read_json(folder / "scheduler" / "scheduler_config.json")
        return [
            *unet_problems(unet, str(folder), use._replace(controlled=use.controlled or "controlnet" in index)),
            *(_own_controlnet(folder / "controlnet", unet) if "controlnet" in index else ()),
            *_other_parts(folder, unet, vae, texts),
            *(
                problem
                for name, text in zip(encoders, texts, strict=True)
                for problem in _tokenizer_problems(folder, name, text)
            ),
            *(problem for part in ("unet", "vae", *encoders) for problem in weight_problems(folder / part)),
        ]
    except ValueError as unreadable:
        return [str(unreadable)]


def unet_problems(config: dict[str, Any], name: str, use: Use) -> list[str]:
    """Return what keeps a U-Net from being one for inpainting, of Stable Diffusion 1 or 2 or SDXL."""
    if not _is_supported(config):
        return [_unsupported(name, str(config.get("_class_name")))]
    problems, channels, wanted = list[str](), config.get("in_channels"), _CHANNELS[use.controlled]
    is_xl = config.get("addition_embed_type") == _XL
    if use.controlled and is_xl:
        problems.append(f"{name} is SDXL, which isn't painted with by a controlnet; name one for inpainting without it")
    elif channels != wanted:
        told = f"its U-Net takes {channels} channels, not {wanted}"
        problems.append(
            f"{name} is no text-to-image model, as a controlnet needs: {told}; name one, or leave controlnet out"
            if use.controlled
            else f"{name} is no inpainting model: {told}; name an inpainting checkpoint, or a controlnet for inpainting"
        )
    if use.trains_text and is_xl:
        problems.append(f"{name} is SDXL, whose two text encoders aren't trained; leave train_text_encoder out")
    return problems


def _own_controlnet(folder: Path, unet: dict[str, Any]) -> Iterator[str]:
    """A fine-tuning with a ControlNet publishes that too."""
    config = read_json(folder / "config.json")
    yield from controlnet_problems(config, str(folder)) or misfit(config, unet)
    yield from weight_problems(folder)


def _is_supported(unet: dict[str, Any]) -> bool:
    return unet.get("_class_name") == "UNet2DConditionModel" and unet.get("addition_embed_type") in _TEXT_ENCODERS


def _unsupported(name: str, kind: str) -> str:
    return (
        f"{name} is of a family that isn't supported ({kind}: SD 3, Flux and others work otherwise); name an "
        "inpainting checkpoint of Stable Diffusion 1 or 2 or SDXL"
    )


def _other_parts(
    folder: Path, unet: dict[str, Any], vae: dict[str, Any], texts: Sequence[dict[str, Any]]
) -> Iterator[str]:
    if vae.get("latent_channels") != 4:
        yield f"{folder}/vae has {vae.get('latent_channels')} latent channels, not 4; take the VAE of the same model"
    if vae.get("latents_mean") is not None:
        yield f"{folder}/vae shifts latents (latents_mean), which isn't supported; name another base model"
    wanted, width = unet.get("cross_attention_dim"), sum(text.get("hidden_size", 0) for text in texts)
    if wanted != width:
        yield (
            f"{folder}/text_encoder gives {width} numbers a token, and the U-Net takes {wanted}: the parts are of two "
            f"models; {AGAIN}"
        )
    if unet.get("addition_embed_type") == _XL:
        wanted = unet.get("projection_class_embeddings_input_dim")
        width = texts[-1].get("projection_dim", 0) + _SIZES * unet.get("addition_time_embed_dim", 0)
        if wanted != width:
            yield (
                f"{folder}/unet takes {wanted} numbers on prompt and sizes, not {width}: it is a refiner, or of "
                "another model than the text encoders; name an SDXL checkpoint for inpainting"
            )


def _tokenizer_problems(folder: Path, encoder: str, config: dict[str, Any]) -> Iterator[str]:
    tokenizer, length = folder / encoder.replace("text_encoder", "tokenizer"), config.get("vocab_size")
    if (tokenizer / "vocab.json").is_file() and (tokenizer / "merges.txt").is_file():
        tokens = set(read_json(tokenizer / "vocab.json"))
        added = tokenizer / "added_tokens.json"
        tokens |= set(read_json(added)) if added.is_file() else set()
    elif (tokenizer / "tokenizer.json").is_file():
        tokens = _tokens(tokenizer / "tokenizer.json")
    else:
        yield f"{tokenizer} lacks vocab.json and merges.txt (or tokenizer.json); {AGAIN}"
        return
    if len(tokens) != length:
        yield f"{tokenizer} knows {len(tokens)} tokens, the text encoder {length}: it is of another model; {AGAIN}"


def _tokens(file: Path) -> set[str]:
    """Return the tokens that a tokenizer in one file knows.

    Raises:
        ValueError: naming file and remedy.
    """
    whole = read_json(file)
    try:
        return {*whole["model"]["vocab"], *(one["content"] for one in whole.get("added_tokens", ()))}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} holds no vocabulary where one is expected ({error!r}); {AGAIN}") from None
