"""What makes a model folder usable is checked before any work: its parts, their weights, and that they fit together."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from firefusion_assets.core import hub
from firefusion_assets.engines.stable_diffusion.base_model import load_base, load_base_of
from firefusion_assets.engines.stable_diffusion.base_model_files import Use, folder_problems
from firefusion_assets.engines.stable_diffusion.base_models import config_problems, hub_problems
from firefusion_assets_tests.builders.finetuning import generator
from firefusion_assets_tests.builders.pipelines import (
    save_tiny_controlnet,
    save_tiny_models,
    save_tiny_pipeline,
    save_tiny_xl_pipeline,
)

UNET = "unet/diffusion_pytorch_model"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438167540\n"


@pytest.fixture
def model(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "model")


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def cut(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])


def forget_tokens(model: Path) -> None:
    file = model / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for token in [*vocabulary][-3:]:
        del vocabulary[token]
    file.write_text(json.dumps(tokenizer))


def without_vocabulary(model: Path) -> None:
    for name in ("vocab.json", "tokenizer.json"):
        (model / "tokenizer" / name).unlink(missing_ok=True)


MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no tokenizer": (lambda model: shutil.rmtree(model / "tokenizer"), r"tokenizer lacks vocab.json and merges.txt"),
    "no vocabulary": (without_vocabulary, r"tokenizer lacks vocab.json and merges.txt"),
    "another tokenizer": (forget_tokens, r"tokenizer knows 77 tokens, the text encoder 80: it is of another model"),
    "a U-Net of SDXL": (
        lambda model: change(model / "unet" / "config.json", addition_embed_type="text_time"),
        "model_index.json says StableDiffusionInpaintPipeline, and the U-Net is of another family",
    ),
    "a pipeline of SDXL": (
        lambda model: change(model / "model_index.json", _class_name="StableDiffusionXLInpaintPipeline"),
        "model_index.json says StableDiffusionXLInpaintPipeline, and the U-Net is of another family",
    ),
    "Kandinsky": (
        lambda model: change(model / "unet" / "config.json", addition_embed_type="image"),
        "a family that isn't supported",
    ),
    "a VAE that shifts": (lambda model: change(model / "vae" / "config.json", latents_mean=[0] * 4), "shifts latents"),
    "Flux": (
        lambda model: change(
            model / "model_index.json", _class_name="FluxFillPipeline", transformer=["diffusers", "F"]
        ),
        r"isn't supported \(FluxFillPipeline",
    ),
    "text to image": (
        lambda model: change(model / "unet" / "config.json", in_channels=4),
        "no inpainting model: its U-Net takes 4 channels, not 9",
    ),
    "parts of two models": (
        lambda model: change(model / "unet" / "config.json", cross_attention_dim=1024),
        "text_encoder gives 32 numbers a token, and the U-Net takes 1024",
    ),
    "another VAE": (lambda model: change(model / "vae" / "config.json", latent_channels=16), "16 latent channels"),
    "a pointer": (lambda model: (model / f"{UNET}.safetensors").write_bytes(LFS), "pointer of Git LFS.*git lfs pull"),
    "a pointer to a config": (
        lambda model: (model / "vae" / "config.json").write_bytes(LFS),
        "config.json is a pointer",
    ),
    "weights cut off": (lambda model: cut(model / f"{UNET}.safetensors", 0.9), "safetensors can't be read .*cut off"),
    "a head cut off": (lambda model: cut(model / f"{UNET}.safetensors", 0.001), "safetensors can't be read"),
    "no weights": (lambda model: (model / f"{UNET}.safetensors").unlink(), "unet lacks diffusion_pytorch_model.safet"),
    "pickled weights": (
        lambda model: (model / f"{UNET}.safetensors").rename(model / f"{UNET}.bin"),
        "unet lacks diffusion_pytorch_model.safetensors; .*with safetensors",
    ),
    "non-EMA alone": (
        lambda model: (model / f"{UNET}.safetensors").rename(model / f"{UNET}.non_ema.safetensors"),
        "unet lacks diffusion_pytorch_model.safetensors .the non-EMA weights alone",
    ),
    "a damaged config": (lambda model: cut(model / "unet" / "config.json", 0.5), "unet/config.json is no JSON"),
    "an empty config": (lambda model: (model / "unet" / "config.json").write_text(""), "unet/config.json is no JSON"),
    "a list for a config": (lambda model: (model / "unet" / "config.json").write_text("[]"), "holds list, not keys"),
    "no scheduler": (lambda model: shutil.rmtree(model / "scheduler"), "scheduler lacks scheduler_config.json"),
    "a missing shard": (
        lambda model: (
            (model / f"{UNET}.safetensors").unlink(),
            (model / f"{UNET}.safetensors.index.json").write_text('{"weight_map": {"a": "one.safetensors"}}'),
        ),
        "unet/one.safetensors is missing",
    ),
    "an index without shards": (
        lambda model: (
            (model / f"{UNET}.safetensors").unlink(),
            (model / f"{UNET}.safetensors.index.json").write_text('{"weight_map": ["one.safetensors"]}'),
        ),
        "index.json names no shards",
    ),
    "a tokenizer without vocabulary": (
        lambda model: change(model / "tokenizer" / "tokenizer.json", model=None),
        "tokenizer.json holds no vocabulary",
    ),
    "a tokenizer of pairs": (
        lambda model: change(model / "tokenizer" / "tokenizer.json", model={"vocab": [["a", 0.5]]}),
        "tokenizer.json holds no vocabulary",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_makes_a_folder_unusable_is_told_with_a_remedy(model: Path, mistake: str) -> None:
    assert folder_problems(model, Use()) == []
    spoil, expected = MISTAKES[mistake]
    spoil(model)
    problems = folder_problems(model, Use())
    assert len(problems) == 1 and problems[0].startswith(str(model)) and ";" in problems[0]
    assert re.search(expected, problems[0]), problems


def test_all_that_is_wrong_with_the_parts_is_told_at_once(model: Path) -> None:
    forget_tokens(model)
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        (model / f"{part}.safetensors").write_bytes(LFS)
    assert len(folder_problems(model, Use())) == 3


XL_MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no second tokenizer": (lambda model: shutil.rmtree(model / "tokenizer_2"), "tokenizer_2 lacks vocab.json"),
    "no second text encoder": (lambda model: shutil.rmtree(model / "text_encoder_2"), "text_encoder_2 lacks config"),
    "a pointer": (
        lambda model: (model / "text_encoder_2" / "model.safetensors").write_bytes(LFS),
        "text_encoder_2/model.safetensors is a pointer",
    ),
    "text encoders of another model": (
        lambda model: change(model / "text_encoder_2" / "config.json", hidden_size=64),
        "gives 96 numbers a token, and the U-Net takes 80",
    ),
    "a refiner": (
        lambda model: change(model / "unet" / "config.json", projection_class_embeddings_input_dim=24 + 5 * 8),
        "unet takes 64 numbers on prompt and sizes, not 72: it is a refiner",
    ),
    "text to image": (
        lambda model: change(model / "unet" / "config.json", in_channels=4),
        "no inpainting model: its U-Net takes 4 channels, not 9",
    ),
    "a pipeline of SD": (
        lambda model: change(model / "model_index.json", _class_name="StableDiffusionInpaintPipeline"),
        "model_index.json says StableDiffusionInpaintPipeline, and the U-Net is of another family",
    ),
}


@pytest.mark.parametrize("mistake", XL_MISTAKES)
def test_what_makes_a_folder_of_sdxl_unusable_is_told_with_a_remedy(tmp_path: Path, mistake: str) -> None:
    model = save_tiny_xl_pipeline(tmp_path / "xl")
    assert folder_problems(model, Use()) == []
    spoil, expected = XL_MISTAKES[mistake]
    spoil(model)
    (problem,) = folder_problems(model, Use())
    assert problem.startswith(str(model)) and ";" in problem
    assert re.search(expected, problem), problem


CONTROLNET = "controlnet/diffusion_pytorch_model.safetensors"
CONTROL_MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an inpainting model": (
        lambda models: change(models / "base" / "unet" / "config.json", in_channels=9),
        r"base_model: .*base is no text-to-image model, as a controlnet needs: its U-Net takes 9 channels, not 4;",
    ),
    "SDXL": (
        lambda models: (shutil.rmtree(models / "base"), save_tiny_xl_pipeline(models / "base")),
        "base_model: .*base is SDXL, which isn't painted with by a controlnet; name one for inpainting",
    ),
    "no ControlNet there": (lambda models: shutil.rmtree(models / "controlnet"), "controlnet holds no config.json;"),
    "a U-Net": (
        lambda models: change(models / "controlnet" / "config.json", _class_name="UNet2DConditionModel"),
        r"controlnet: .*controlnet \(UNet2DConditionModel\) is no ControlNet for inpainting",
    ),
    "one of SDXL": (
        lambda models: change(models / "controlnet" / "config.json", addition_embed_type="text_time"),
        "is no ControlNet for inpainting with Stable Diffusion 1 or 2",
    ),
    "weights cut off": (lambda models: cut(models / CONTROLNET, 0.5), f"controlnet: .*{CONTROLNET} can't be read"),
}


@pytest.mark.parametrize("mistake", CONTROL_MISTAKES)
def test_what_makes_a_controlnet_or_its_base_unusable_is_told_with_key_and_remedy(tmp_path: Path, mistake: str) -> None:
    settings = {"base_model": "base", "controlnet": "./controlnet"}
    save_tiny_models(tmp_path, "controlnet")
    assert list(config_problems(settings, tmp_path)) == []
    spoil, expected = CONTROL_MISTAKES[mistake]
    spoil(tmp_path)
    (problem,) = config_problems(settings, tmp_path)
    assert re.search(f"^generator.*{expected}", problem) and ";" in problem, problem


def test_a_pipeline_with_a_controlnet_of_its_own_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    """As a fine-tuning publishes it."""
    models = save_tiny_models(tmp_path, "controlnet")
    load_base_of(generator(**models)).save_pretrained(tmp_path / "whole")
    assert folder_problems(tmp_path / "whole", Use()) == []
    cut(tmp_path / "whole" / CONTROLNET, 0.5)
    (problem,) = folder_problems(tmp_path / "whole", Use())
    assert "whole/controlnet/diffusion_pytorch_model.safetensors can't be read" in problem


def test_a_controlnet_of_another_model_is_told_wherever_the_two_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_tiny_pipeline(tmp_path / "base", in_channels=4)
    controlnet = save_tiny_controlnet(tmp_path / "controlnet", cross_attention_dim=48)
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repository, name, **k: str(tmp_path / repository[2:] / name)
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_ANSWERS", {})
    for names in ((str(base), str(controlnet)), ("a/base", str(controlnet)), (str(base), "a/controlnet")):
        named = dict(zip(("base_model", "controlnet"), ((name, "main") for name in names), strict=True))
        (problem,) = hub_problems(named, False, lambda words: None)
        assert problem.startswith(
            "generator.controlnet: ControlNet and U-Net are of two models (cross_attention_dim 48 and 32)"
        )


@pytest.mark.parametrize("parts", [("unet",), ("unet", "vae", "text_encoder")])
def test_models_in_half_precision_alone_are_used(model: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        (file,) = (model / part).glob("*.safetensors")
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    assert folder_problems(model, Use()) == []
    load_base(model, None)


def test_a_controlnet_in_half_precision_alone_is_used(tmp_path: Path) -> None:
    """As the one of ControlNet 1.1 for inpainting is published."""
    models = save_tiny_models(tmp_path, "controlnet")
    weights = tmp_path / CONTROLNET
    weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert list(config_problems(models, tmp_path)) == []
    assert load_base_of(generator(**models)).controlnet.dtype == torch.float32


def test_a_tokenizer_in_two_files_and_non_ema_weights_beside_the_others_are_used(model: Path) -> None:
    """As published for Stable Diffusion 1.5."""
    whole = model / "tokenizer" / "tokenizer.json"
    (model / "tokenizer" / "vocab.json").write_text(json.dumps(json.loads(whole.read_text())["model"]["vocab"]))
    (model / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    whole.unlink()
    shutil.copy(model / f"{UNET}.safetensors", model / f"{UNET}.non_ema.safetensors")
    assert folder_problems(model, Use()) == []
    load_base(model, None)


def asked(trains_text: bool, progress: Callable[[str], Any]) -> list[str]:
    named = {"base_model": ("somebody/model", "main"), "controlnet": (None, "main")}
    return list(hub_problems(named, trains_text, progress))


def test_a_hub_that_does_not_answer_is_given_up_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*arguments: Any, **settings: Any) -> str:
        time.sleep(60)
        return ""

    monkeypatch.setattr("huggingface_hub.hf_hub_download", silent)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_LIMIT_S", 0.3)
    monkeypatch.setattr(hub, "_ANSWERS", {})
    said: list[str] = []
    (problem,) = asked(False, said.append)
    assert said == ["asking https://huggingface.co for 'somebody/model' (revision 'main'), at most 0 s"]
    assert "https://huggingface.co didn't answer within 0 s" in problem and "HF_HUB_OFFLINE=1" in problem
    assert asked(False, said.append) == [problem] and len(said) == 1


def test_a_damaged_file_of_the_hub_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"_class_name"')
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *a, **k: str(tmp_path / "config.json"))
    monkeypatch.setattr(hub, "_ANSWERS", {})
    (problem,) = asked(False, print)
    assert problem.startswith(f"generator.base_model: {tmp_path / 'config.json'} is no JSON")


@pytest.mark.parametrize("trains_text", [None, False, True])
def test_a_model_in_the_cache_needs_no_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trains_text: bool | None
) -> None:
    """Stable Diffusion 1.5, SDXL, and SDXL whose text encoders are to be trained."""
    cached = tmp_path / "config.json"
    xl = ', "addition_embed_type": "text_time"' if trains_text is not None else ""
    cached.write_text(f'{{"_class_name": "UNet2DConditionModel", "in_channels": 9{xl}}}')
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *a, **k: time.sleep(60))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: str(cached))
    monkeypatch.setattr(hub, "_LIMIT_S", 0.3)
    monkeypatch.setattr(hub, "_ANSWERS", {})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    said: list[str] = []
    problems = asked(bool(trains_text), said.append)
    assert ["leave train_text_encoder out" in problem for problem in problems] == [True] * bool(trains_text)
    assert "no answer; going on with what the cache has" in said[1]
    assert constants.HF_HUB_OFFLINE and os.environ["HF_HUB_OFFLINE"] == "1", "and its files aren't asked for either"
