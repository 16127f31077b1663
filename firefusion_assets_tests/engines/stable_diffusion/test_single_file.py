"""A pipeline folder as one checkpoint in the original layout: diffusers' own loader gives every weight back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from firefusion_assets.engines.stable_diffusion import single_file
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline, save_tiny_xl_pipeline

PARTS = ("unet", "vae", "text_encoder")
WEIGHTS = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
SD_BLOCKS = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
}
SD_VAE_BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
SD2_TEXT = {"hidden_act": "gelu", "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}


def save_family(folder: Path, family: str) -> Path:
    """A tiny pipeline of two levels, or one with the block structure of SD 1.5 or SD 2."""
    if family == "two levels":
        return save_tiny_pipeline(folder)
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(save_tiny_pipeline(folder / "base"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        pipeline.unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=9,
            block_out_channels=(8, 16, 16, 24),
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=4,
            use_linear_projection=family == "SD 2",
            **SD_BLOCKS,
        )
        pipeline.vae = AutoencoderKL(block_out_channels=(8, 8, 16, 16), norm_num_groups=4, **SD_VAE_BLOCKS)
        if family == "SD 2":
            config = CLIPTextConfig(**{**pipeline.text_encoder.config.to_dict(), **SD2_TEXT, "num_hidden_layers": 3})
            pipeline.text_encoder = CLIPTextModel(config)
            for name, parameter in pipeline.text_encoder.named_parameters():
                if name.endswith("bias"):  # fresh ones are all zero, and any order of zeros is right
                    torch.nn.init.normal_(parameter)
    pipeline.save_pretrained(folder)
    shutil.rmtree(folder / "base")
    return folder


@pytest.fixture(scope="module", params=["two levels", "SD 1.5", "SD 2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_family(tmp_path_factory.mktemp("pipelines") / "pipeline", request.param)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return save_tiny_pipeline(tmp_path / "tiny")


def load_single_file(target: Path, folder: Path) -> StableDiffusionInpaintPipeline:
    return StableDiffusionInpaintPipeline.from_single_file(
        str(target), config=str(folder), local_files_only=True, torch_dtype=torch.float32
    )


def assert_same_weights(loaded: StableDiffusionInpaintPipeline, folder: Path, rounded: torch.dtype) -> None:
    expected = StableDiffusionInpaintPipeline.from_pretrained(folder)
    for part in PARTS:
        actual = getattr(loaded, part).state_dict()
        original = getattr(expected, part).state_dict()
        assert actual.keys() == original.keys()
        for key, weight in original.items():
            assert torch.equal(actual[key], weight.to(rounded).to(weight.dtype)), f"{part}: {key}"


def paint(pipeline: StableDiffusionInpaintPipeline) -> np.ndarray:
    for part in PARTS:
        for parameter in getattr(pipeline, part).parameters():
            # where a weight lies in memory decides on the last bit: a mapped file is not aligned, a copy is
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    image = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:40, 8:48] = 1
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        "wildfire",
        image=image,
        mask_image=mask,
        height=64,
        width=64,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(4),
        output_type="np",
    ).images


@pytest.mark.slow
def test_diffusers_reads_every_weight_back(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "full.safetensors"
    single_file.export_single_file(folder, target, half=False)
    assert_same_weights(load_single_file(target, folder), folder, torch.float32)


@pytest.mark.slow
def test_half_precision_is_the_rounded_weight_and_the_default(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "half.safetensors"
    single_file.export_single_file(folder, target)
    assert {weight.dtype for weight in load_file(target).values()} == {torch.float16}
    assert_same_weights(load_single_file(target, folder), folder, torch.float16)


@pytest.mark.slow
def test_the_checkpoint_paints_what_the_folder_paints(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "full.safetensors"
    single_file.export_single_file(folder, target, half=False)
    painted = paint(StableDiffusionInpaintPipeline.from_pretrained(folder))
    assert painted.std() > 0
    np.testing.assert_array_equal(paint(load_single_file(target, folder)), painted)


def test_two_levels_of_one_layer_by_hand(tiny: Path, tmp_path: Path) -> None:
    """The rows are counted by hand from the configs of the tiny pipeline."""
    blocks = {
        "input_blocks.0.0": "conv_in",
        "input_blocks.1.0": "down_blocks.0.resnets.0",
        "input_blocks.1.1": "down_blocks.0.attentions.0",
        "input_blocks.2.0.op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks.3.0": "down_blocks.1.resnets.0",
        "middle_block.0": "mid_block.resnets.0",
        "middle_block.1": "mid_block.attentions.0",
        "middle_block.2": "mid_block.resnets.1",
        "output_blocks.0.0": "up_blocks.0.resnets.0",
        "output_blocks.1.0": "up_blocks.0.resnets.1",
        "output_blocks.1.1.conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks.2.0": "up_blocks.1.resnets.0",
        "output_blocks.2.1": "up_blocks.1.attentions.0",
        "output_blocks.3.0": "up_blocks.1.resnets.1",
        "output_blocks.3.1": "up_blocks.1.attentions.1",
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    layers = {
        "in_layers.0": "norm1",
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.0": "norm2",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
    }
    target = tmp_path / "full.safetensors"
    single_file.export_single_file(tiny, target, half=False)
    prefix = "model.diffusion_model."
    original = {key.removeprefix(prefix): w for key, w in load_file(target).items() if key.startswith(prefix)}
    expected = load_file(tiny / WEIGHTS["unet"])
    assert len(original) == len(expected) == 208
    for name, weight in original.items():
        (block,) = [block for block in blocks if name.startswith(f"{block}.")]
        inner = name.removeprefix(f"{block}.")
        for theirs, ours in layers.items():
            inner = inner.replace(theirs, ours)
        assert torch.equal(weight, expected[f"{blocks[block]}.{inner}"]), name


@settings(max_examples=15)
@given(
    attention=st.lists(st.booleans(), min_size=1, max_size=5),
    layers=st.integers(1, 3),
    depth=st.integers(1, 2),
)
def test_any_unet_structure_is_undone_by_diffusers(attention: list[bool], layers: int, depth: int) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            in_channels=9,
            block_out_channels=[8 * (1 + level // 2) for level in range(len(attention))],
            down_block_types=["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attention],
            up_block_types=["CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)],
            layers_per_block=layers,
            transformer_layers_per_block=depth,
            cross_attention_dim=8,
            attention_head_dim=4,
            norm_num_groups=4,
        )
    weights = unet.state_dict()
    original = single_file.unet_to_original(weights, unet.config)
    undone = convert_ldm_unet_checkpoint(dict(original), unet.config)
    assert len(original) == len(weights)
    assert undone.keys() == weights.keys()
    assert all(undone[key] is weight for key, weight in weights.items())


@settings(max_examples=10)
@given(levels=st.integers(1, 5), layers=st.integers(1, 3))
def test_any_vae_structure_is_undone_by_diffusers(levels: int, layers: int) -> None:
    vae = AutoencoderKL(
        block_out_channels=[4 * (1 + level // 2) for level in range(levels)],
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=layers,
        norm_num_groups=2,
    )
    weights = vae.state_dict()
    original = single_file.vae_to_original(weights, vae.config)
    undone = convert_ldm_vae_checkpoint(dict(original), vae.config)
    assert len(original) == len(weights)
    assert undone.keys() == weights.keys()
    assert all(torch.equal(undone[key], weight) for key, weight in weights.items())


def test_the_well_known_names_of_sd_15() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64,
            in_channels=9,
            block_out_channels=(320, 640, 1280, 1280),
            cross_attention_dim=768,
            attention_head_dim=8,
            **SD_BLOCKS,
        )
        vae = AutoencoderKL(sample_size=512, block_out_channels=(128, 256, 512, 512), **SD_VAE_BLOCKS)
        text_encoder = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
        )
    of_unet = single_file.unet_to_original(unet.state_dict(), unet.config)
    of_vae = single_file.vae_to_original(vae.state_dict(), vae.config)
    of_text = single_file.text_encoder_to_original(text_encoder.state_dict(), text_encoder.config.to_dict())
    # the published text encoder counts 197: with position_ids, a buffer
    assert (len(of_unet), len(of_vae), len(of_text)) == (686, 248, 196)
    shapes = {name: tuple(weight.shape) for name, weight in (of_unet | of_vae | of_text).items()}
    unet_names = {
        "time_embed.0.weight": (1280, 320),
        "time_embed.2.bias": (1280,),
        "input_blocks.0.0.weight": (320, 9, 3, 3),
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "input_blocks.1.1.proj_in.weight": (320, 320, 1, 1),
        "input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "input_blocks.4.0.skip_connection.weight": (640, 320, 1, 1),
        "input_blocks.8.1.transformer_blocks.0.ff.net.0.proj.weight": (10240, 1280),
        "input_blocks.11.0.out_layers.3.weight": (1280, 1280, 3, 3),
        "middle_block.0.in_layers.2.weight": (1280, 1280, 3, 3),
        "middle_block.1.proj_in.weight": (1280, 1280, 1, 1),
        "middle_block.2.emb_layers.1.weight": (1280, 1280),
        "output_blocks.0.0.in_layers.0.weight": (2560,),
        "output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.8.2.conv.bias": (640,),
        "output_blocks.11.1.proj_out.weight": (320, 320, 1, 1),
        "out.0.weight": (320,),
        "out.2.weight": (4, 320, 3, 3),
    }
    vae_names = {
        "encoder.conv_in.weight": (128, 3, 3, 3),
        "encoder.down.0.downsample.conv.weight": (128, 128, 3, 3),
        "encoder.down.1.block.0.nin_shortcut.weight": (256, 128, 1, 1),
        "encoder.mid.attn_1.q.weight": (512, 512, 1, 1),
        "encoder.mid.attn_1.norm.weight": (512,),
        "encoder.norm_out.weight": (512,),
        "decoder.mid.block_2.conv2.weight": (512, 512, 3, 3),
        "decoder.mid.attn_1.proj_out.weight": (512, 512, 1, 1),
        "decoder.up.0.block.0.nin_shortcut.weight": (128, 256, 1, 1),
        "decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
        "decoder.up.1.upsample.conv.weight": (256, 256, 3, 3),
        "decoder.conv_out.weight": (3, 128, 3, 3),
        "quant_conv.weight": (8, 8, 1, 1),
        "post_quant_conv.bias": (4,),
    }
    text_names = {
        "embeddings.token_embedding.weight": (49408, 768),
        "embeddings.position_embedding.weight": (77, 768),
        "encoder.layers.11.self_attn.q_proj.weight": (768, 768),
        "encoder.layers.0.mlp.fc1.weight": (3072, 768),
        "final_layer_norm.bias": (768,),
    }
    for prefix, names in (
        ("model.diffusion_model.", unet_names),
        ("first_stage_model.", vae_names),
        ("cond_stage_model.transformer.text_model.", text_names),
    ):
        for name, shape in names.items():
            assert shapes[f"{prefix}{name}"] == shape, name
    # the finest level of the decoder, the coarsest of the encoder and the U-Net's both ends have no resampling
    absent = ("decoder.up.0.upsample", "encoder.down.3.downsample", "input_blocks.12", "output_blocks.12")
    assert not [name for name in shapes if any(f".{part}." in name for part in absent)]


def openclip_tower(weights: dict[str, torch.Tensor], tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """OpenCLIP's text transformer in its own terms: pre-norm blocks around torch's multi-head attention."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.nn.functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = weights["token_embedding.weight"][tokens] + weights["positional_embedding"][: tokens.shape[1]]
    causal = torch.full((tokens.shape[1],) * 2, -torch.inf).triu(1)
    for number in range(len([name for name in weights if name.endswith("in_proj_weight")])):
        block = f"transformer.resblocks.{number}"
        attention = torch.nn.MultiheadAttention(x.shape[-1], heads, batch_first=True)
        start = f"{block}.attn."
        attention.load_state_dict({k.removeprefix(start): w for k, w in weights.items() if k.startswith(start)})
        inner = norm(x, f"{block}.ln_1")
        x = x + attention(inner, inner, inner, need_weights=False, attn_mask=causal)[0]
        inner = torch.nn.functional.gelu(linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
        x = x + linear(inner, f"{block}.mlp.c_proj")
    return norm(x, "ln_final")


def test_the_text_encoder_of_sd_2_computes_the_same_as_openclip() -> None:
    generator = torch.Generator().manual_seed(2)
    config = CLIPTextConfig(
        vocab_size=50, num_hidden_layers=3, projection_dim=24, bos_token_id=0, eos_token_id=49, **SD2_TEXT
    )
    model = CLIPTextModelWithProjection(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    prefix = "cond_stage_model.model."
    original = single_file.text_encoder_to_original(model.state_dict(), config.to_dict())
    weights = {name.removeprefix(prefix): weight for name, weight in original.items()}
    tokens = torch.cat([torch.randint(1, 49, (2, 10), generator=generator), torch.full((2, 1), 49)], dim=1)
    with torch.no_grad():
        expected = model(tokens)
        hidden = openclip_tower(weights, tokens, heads=2)
    torch.testing.assert_close(hidden, expected.last_hidden_state, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(hidden[:, -1] @ weights["text_projection"], expected.text_embeds, rtol=1e-4, atol=1e-4)


def test_older_names_and_the_position_buffer_are_understood(tiny: Path, tmp_path: Path) -> None:
    single_file.export_single_file(tiny, tmp_path / "new.safetensors")
    vae = load_file(tiny / WEIGHTS["vae"])
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        vae = {key.replace(f".{new}.", f".{old}."): weight for key, weight in vae.items()}
    save_file(vae, tiny / WEIGHTS["vae"])
    text = {f"text_model.{key}": weight for key, weight in load_file(tiny / WEIGHTS["text_encoder"]).items()}
    save_file(text | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, tiny / WEIGHTS["text_encoder"])
    single_file.export_single_file(tiny, tmp_path / "old.safetensors")
    assert (tmp_path / "old.safetensors").read_bytes() == (tmp_path / "new.safetensors").read_bytes()


def test_a_weight_without_a_place_or_a_place_without_a_weight_is_told_for_all_parts(tiny: Path, tmp_path: Path) -> None:
    unet = load_file(tiny / WEIGHTS["unet"])
    adapter = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"
    save_file(unet | {adapter: torch.ones(4, 64)}, tiny / WEIGHTS["unet"])
    vae = load_file(tiny / WEIGHTS["vae"])
    save_file({key: w for key, w in vae.items() if not key.startswith("quant_conv")}, tiny / WEIGHTS["vae"])
    text = load_file(tiny / WEIGHTS["text_encoder"])
    save_file(text | {"text_projection.weight": torch.ones(4, 32)}, tiny / WEIGHTS["text_encoder"])
    with pytest.raises(ValueError) as caught:
        single_file.export_single_file(tiny, tmp_path / "out.safetensors")
    unet_line, vae_line, text_line = str(caught.value).splitlines()
    assert str(tiny / "unet") in unet_line and f"no place in the original layout for {adapter}" in unet_line
    assert str(tiny / "vae") in vae_line and vae_line.endswith("not there: quant_conv")
    assert str(tiny / "text_encoder") in text_line and text_line.endswith("text_projection.weight")
    assert not (tmp_path / "out.safetensors").exists()


def test_another_block_structure_than_the_config_says_is_an_error(tiny: Path, tmp_path: Path) -> None:
    config = tiny / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layers_per_block": 2}))
    with pytest.raises(ValueError, match=r"unet: config.json asks for weights that are not there: down_blocks.0.*more"):
        single_file.export_single_file(tiny, tmp_path / "out.safetensors")


def test_an_unknown_text_encoder_is_an_error(tiny: Path, tmp_path: Path) -> None:
    config = tiny / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_act": "relu"}))
    with pytest.raises(ValueError, match="hidden_act relu is neither SD 1.x's quick_gelu nor SD 2's gelu"):
        single_file.export_single_file(tiny, tmp_path / "out.safetensors")


def test_what_a_folder_lacks_and_a_wrong_ending_are_told_together(tiny: Path, tmp_path: Path) -> None:
    shutil.rmtree(tiny / "vae")
    (tiny / WEIGHTS["text_encoder"]).rename(tiny / "text_encoder" / "pytorch_model.bin")
    with pytest.raises(ValueError) as caught:
        single_file.export_single_file(tiny, tmp_path / "out.ckpt")
    ending, lacking = str(caught.value).splitlines()
    assert "out.ckpt: the target must end in .safetensors" in ending
    lacks = ", ".join(("vae/config.json", WEIGHTS["vae"], WEIGHTS["text_encoder"]))
    assert f"{tiny}: lacks {lacks}; give a folder with a model_index.json" in lacking


def test_adapters_alone_ask_for_a_merge(tmp_path: Path) -> None:
    save_file({"unet.x.lora_A.weight": torch.ones(1, 1)}, tmp_path / "pytorch_lora_weights.safetensors")
    with pytest.raises(ValueError, match=r"holds adapters only .* set lora.merge: true"):
        single_file.export_single_file(tmp_path, tmp_path / "out.safetensors")


def test_sdxl_is_refused(tmp_path: Path) -> None:
    model = save_tiny_xl_pipeline(tmp_path / "xl")
    with pytest.raises(ValueError, match=r"xl: is SDXL, which isn't written as one file; give the folder"):
        single_file.export_single_file(model, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_weight_beyond_half_precision_is_an_error_in_half_only(tiny: Path, tmp_path: Path) -> None:
    unet = load_file(tiny / WEIGHTS["unet"])
    unet["conv_out.bias"][0] = 1e5
    save_file(unet, tiny / WEIGHTS["unet"])
    with pytest.raises(ValueError, match=r"not finite in float16: model.diffusion_model.out.2.bias; .*--full"):
        single_file.export_single_file(tiny, tmp_path / "out.safetensors")
    single_file.export_single_file(tiny, tmp_path / "out.safetensors", half=False)
    assert load_file(tmp_path / "out.safetensors")["model.diffusion_model.out.2.bias"][0] == 1e5


def test_the_command(tiny: Path, tmp_path: Path) -> None:
    for options, dtype in (([], torch.float16), (["--full"], torch.float32)):
        target = tmp_path / f"{dtype}.safetensors"
        assert firefusion("single-file", tiny, target, *options).strip() == str(target)
        assert {weight.dtype for weight in load_file(target).values()} == {dtype}


def test_the_command_tells_a_problem_without_a_traceback(tmp_path: Path) -> None:
    refusal = firefusion_refuses("single-file", tmp_path / "none", tmp_path / "out.safetensors")
    assert "none: lacks unet/config.json" in refusal
