"""A diffusers folder of Stable Diffusion as one safetensors checkpoint in the original layout, as web UIs read it.

Both layouts hold the same weights. diffusers names a layer by its resolution level and its place therein; the
original U-Net numbers `input_blocks` and `output_blocks` through all levels, and the original VAE counts the
decoder's levels from the finest. Sources of the names: `ldm/modules/diffusionmodules/openaimodel.py` and `model.py`
of CompVis/stable-diffusion; for the text encoder of SD 2 `transformer.py` of mlfoundations/open_clip.

Web UIs know the structures of SD 1.x and 2 only; others are renamed by the same rules. Scheduler, tokenizer and
safety checker have no place in a checkpoint: web UIs bring their own.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save_file
from torch import Tensor, cat

from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.errors import RequestError

_ADAPTERS: Final = "pytorch_lora_weights.safetensors"
_UNET_RESNET: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_RESNET: Final = {name: name for name in ("norm1", "conv1", "norm2", "conv2")} | {"conv_shortcut": "nin_shortcut"}
_VAE_ATTENTION: Final = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OLD_VAE_ATTENTION: Final = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names that older versions of diffusers wrote; published checkpoints have them still."""
_OPENCLIP_LAYER: Final = {
    "layer_norm1": "ln_1",
    "self_attn.q_proj": "attn.q",
    "self_attn.k_proj": "attn.k",
    "self_attn.v_proj": "attn.v",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OPTIONAL: Final = ("conv_shortcut", "text_projection")
"""Modules that a model may lack; a shortcut, where the number of channels stays."""


def export_single_file(folder: Path, target: Path, half: bool = True) -> None:
    """Write the U-Net, VAE and text encoder of a pipeline folder as one checkpoint.

    Args:
        folder: what `StableDiffusionInpaintPipeline.save_pretrained` wrote, for example the published `fold-0/`.
        target: the file to write, ending in `.safetensors`; one that is there is replaced.
        half: as float16; otherwise each weight keeps the folder's precision.

    Raises:
        RequestError: if the folder lacks a part, holds adapters only or is SDXL, if a weight has no place in the
            original layout or a place stays empty, if a weight overflows float16, or for another ending; all problems
            in one message.
    """
    problems = [] if target.suffix == ".safetensors" else [f"{target}: the target must end in .safetensors"]
    checkpoint: dict[str, Tensor] = {}
    files = [f"{part}/{file}" for part, (weights, _) in _PARTS.items() for file in ("config.json", weights)]
    missing = [file for file in files if not (folder / file).is_file()]
    if (folder / _ADAPTERS).is_file() and not (folder / "unet").is_dir():
        remedy = "set lora.merge: true in the config's generator and materialize finetuned_model again"
        problems.append(f"{folder}: holds adapters only ({_ADAPTERS}); {remedy}")
    elif (folder / "text_encoder_2").is_dir():
        problems.append(f"{folder}: is SDXL, which isn't written as one file; give the folder to a UI that reads those")
    elif missing:
        remedy = "give a folder with a model_index.json, for example MODEL/fold-0, saved as safetensors"
        problems.append(f"{folder}: lacks {', '.join(missing)}; {remedy}")
    else:
        for part, (weights, to_original) in _PARTS.items():
            try:
                config = json.loads((folder / part / "config.json").read_text())
                checkpoint |= to_original(load_file(folder / part / weights), config)
            except ValueError as error:
                problems.append(f"{folder / part}: {error}")
    if half:
        checkpoint = {name: weight.half() for name, weight in checkpoint.items()}
        overflown = [name for name, weight in checkpoint.items() if not weight.isfinite().all()]
        problems += [f"{folder}: not finite in float16: {_listed(overflown)}; export with --full"] if overflown else []
    if problems:
        raise RequestError("\n".join(problems))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, partial(save_file, checkpoint, metadata={"format": "pt"}))


def unet_to_original(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the weights of a `UNet2DConditionModel`; their shapes are the same in both layouts.

    Raises:
        ValueError: if a weight has no place, or a place stays empty.
    """
    levels = len(config["down_block_types"])
    layers = _per_level(config["layers_per_block"], levels)
    depths = _per_level(config.get("transformer_layers_per_block", 1), levels)
    names = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
    names |= _nested({"linear_1": "0", "linear_2": "2"}, "time_embedding", "time_embed")
    names |= _nested(_UNET_RESNET, "mid_block.resnets.0", "middle_block.0")
    names |= _nested(_transformer(depths[-1]), "mid_block.attentions.0", "middle_block.1")
    names |= _nested(_UNET_RESNET, "mid_block.resnets.1", "middle_block.2")
    number = count(1)
    for level, kind in enumerate(config["down_block_types"]):
        block, depth = f"down_blocks.{level}", depths[level] if "CrossAttn" in kind else 0
        for layer in range(layers[level]):
            names |= _unet_layer(block, layer, f"input_blocks.{next(number)}", depth)
        if level < levels - 1:
            names[f"{block}.downsamplers.0.conv"] = f"input_blocks.{next(number)}.0.op"
    number = count()
    for level, kind in zip(reversed(range(levels)), config["up_block_types"], strict=True):
        block, depth = f"up_blocks.{levels - 1 - level}", depths[level] if "CrossAttn" in kind else 0
        for layer in range(layers[level] + 1):
            original = f"output_blocks.{next(number)}"
            names |= _unet_layer(block, layer, original, depth)
        if level > 0:  # without a number of its own: it follows the level's last layer
            names[f"{block}.upsamplers.0.conv"] = f"{original}.{2 if depth else 1}.conv"
    return _renamed(weights, names, "model.diffusion_model.")


def vae_to_original(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the weights of an `AutoencoderKL`; the attentions' [C, C] become 1x1 convolutions [C, C, 1, 1].

    Raises:
        ValueError: if a weight has no place, or a place stays empty.
    """
    levels = len(config["down_block_types"])
    names = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for coder in ("encoder", "decoder"):
        names |= _nested({"conv_in": "conv_in", "conv_norm_out": "norm_out", "conv_out": "conv_out"}, coder, coder)
        names |= _nested(_VAE_RESNET, f"{coder}.mid_block.resnets.0", f"{coder}.mid.block_1")
        names |= _nested(_VAE_ATTENTION, f"{coder}.mid_block.attentions.0", f"{coder}.mid.attn_1")
        names |= _nested(_VAE_RESNET, f"{coder}.mid_block.resnets.1", f"{coder}.mid.block_2")
    for level in range(levels):
        down, up = f"encoder.down_blocks.{level}", f"decoder.up_blocks.{levels - 1 - level}"
        for layer in range(config["layers_per_block"]):
            names |= _nested(_VAE_RESNET, f"{down}.resnets.{layer}", f"encoder.down.{level}.block.{layer}")
        for layer in range(config["layers_per_block"] + 1):
            names |= _nested(_VAE_RESNET, f"{up}.resnets.{layer}", f"decoder.up.{level}.block.{layer}")
        if level < levels - 1:
            names[f"{down}.downsamplers.0.conv"] = f"encoder.down.{level}.downsample.conv"
        if level > 0:
            names[f"{up}.upsamplers.0.conv"] = f"decoder.up.{level}.upsample.conv"
    for old, new in _OLD_VAE_ATTENTION.items():
        weights = {key.replace(f".attentions.0.{old}.", f".attentions.0.{new}."): w for key, w in weights.items()}
    original = _renamed(weights, names, "first_stage_model.")
    return {name: w[:, :, None, None] if ".attn_1." in name and w.ndim == 2 else w for name, w in original.items()}


def text_encoder_to_original(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the weights of a `CLIPTextModel`.

    SD 1.x keeps the names of transformers. SD 2 has OpenCLIP's: query, key and value are one matrix [3C, C] and one
    bias [3C], and the projection is x W rather than x W^T. The two families differ in the activation.

    Raises:
        ValueError: if a weight has no place, a place stays empty, or the activation is neither's.
    """
    weights = {key.removeprefix("text_model."): weight for key, weight in weights.items()}
    weights.pop("embeddings.position_ids", None)  # 0 to 76: a buffer, not learned
    layers = [f"encoder.layers.{layer}" for layer in range(config["num_hidden_layers"])]
    outer = ("embeddings.token_embedding", "embeddings.position_embedding", "final_layer_norm")
    activation = config["hidden_act"]
    if activation == "quick_gelu":
        names = {name: name for name in (*outer, *(f"{layer}.{name}" for layer in layers for name in _OPENCLIP_LAYER))}
        return _renamed(weights, names, "cond_stage_model.transformer.text_model.")
    if activation != "gelu":
        raise ValueError(f"config.json: hidden_act {activation} is neither SD 1.x's quick_gelu nor SD 2's gelu")
    prefix = "cond_stage_model.model."
    names = dict(zip(outer, ("token_embedding", "positional_embedding", "ln_final"), strict=True))
    names["text_projection"] = "text_projection"
    for number, layer in enumerate(layers):
        names |= _nested(_OPENCLIP_LAYER, layer, f"transformer.resblocks.{number}")
    original = _renamed(weights, names, prefix)
    original[f"{prefix}positional_embedding"] = original.pop(f"{prefix}positional_embedding.weight")
    if f"{prefix}text_projection.weight" in original:
        original[f"{prefix}text_projection"] = original.pop(f"{prefix}text_projection.weight").T.contiguous()
    for number in range(len(layers)):
        attention = f"{prefix}transformer.resblocks.{number}.attn"
        for kind in ("weight", "bias"):
            original[f"{attention}.in_proj_{kind}"] = cat([original.pop(f"{attention}.{one}.{kind}") for one in "qkv"])
    return original


_PARTS: Final[dict[str, tuple[str, Callable[[Mapping[str, Tensor], Mapping[str, Any]], dict[str, Tensor]]]]] = {
    "unet": ("diffusion_pytorch_model.safetensors", unet_to_original),
    "vae": ("diffusion_pytorch_model.safetensors", vae_to_original),
    "text_encoder": ("model.safetensors", text_encoder_to_original),
}


def _renamed(weights: Mapping[str, Tensor], names: Mapping[str, str], prefix: str) -> dict[str, Tensor]:
    """Rename `module.weight` and `module.bias` by the names of the modules, all of them or none."""
    modules = {key: key.rpartition(".")[0] for key in weights}
    strays = [key for key, module in modules.items() if module not in names or not key.endswith((".weight", ".bias"))]
    empty = [name for name in names.keys() - set(modules.values()) if not name.endswith(_OPTIONAL)]
    problems = [f"no place in the original layout for {_listed(strays)}"] if strays else []
    problems += [f"config.json asks for weights that are not there: {_listed(empty)}"] if empty else []
    if problems:
        raise ValueError("; ".join(problems))
    return {f"{prefix}{names[module]}{key.removeprefix(module)}": weights[key] for key, module in modules.items()}


def _nested(names: Mapping[str, str], block: str, original: str) -> dict[str, str]:
    return {f"{block}.{name}": f"{original}.{theirs}" for name, theirs in names.items()}


def _unet_layer(block: str, layer: int, original: str, depth: int) -> dict[str, str]:
    names = _nested(_UNET_RESNET, f"{block}.resnets.{layer}", f"{original}.0")
    return names | (_nested(_transformer(depth), f"{block}.attentions.{layer}", f"{original}.1") if depth else {})


def _transformer(depth: int) -> dict[str, str]:
    """Return the modules of a spatial transformer: both layouts name them alike."""
    inner = [f"attn{number}.{name}" for number in (1, 2) for name in ("to_q", "to_k", "to_v", "to_out.0")]
    inner += ["norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2"]
    blocks = [f"transformer_blocks.{number}.{name}" for number in range(depth) for name in inner]
    return {name: name for name in ("norm", "proj_in", "proj_out", *blocks)}


def _per_level(value: int | Sequence[int], levels: int) -> Sequence[int]:
    return [value] * levels if isinstance(value, int) else value


def _listed(names: Collection[str]) -> str:
    first = sorted(names)[:5]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
