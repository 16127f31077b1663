"""Each family of base models is fine-tuned, published and painted with; what its U-Net is told is what it expects."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForInpainting, DiffusionPipeline, StableDiffusionXLInpaintPipeline
from safetensors.torch import load_file

from firefusion_assets.engines.stable_diffusion.base_model import load_base
from firefusion_assets.engines.stable_diffusion.network import Denoiser
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study import StudyError, load_augmentation, load_study
from firefusion_assets_tests.builders.finetuning import ADAPTERS, UNET, files, finetune, generator
from firefusion_assets_tests.builders.painting import paint_fires
from firefusion_assets_tests.builders.parts import BANDS
from firefusion_assets_tests.builders.pipelines import save_tiny_xl_pipeline
from firefusion_assets_tests.builders.studies import write_study

PRIOR = {"class_prompt": "land", "num_class_images": 4}
LORA = {"rank": 2, "alpha": 8, "target_modules": ["to_q", "to_v", "conv_in"]}

Trained = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(any_base: Path, part: PatchPart, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Give the model folder of some settings, trained once."""
    folders: dict[str, Path] = {}

    def of(**changes: Any) -> Path:
        settings = generator(any_base, **changes)
        key = settings.model_dump_json()
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("trained")
            finetune(settings, part, folders[key])
        return folders[key]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prior_preservation": PRIOR, "gradient_checkpointing": True},
        {"mixed_precision": "bf16", "validation_steps": 2},
        {"method": "lora", "lora": LORA},
        {"method": "lora", "lora": LORA, "mixed_precision": "bf16", "gradient_checkpointing": True},
    ],
)
def test_the_unet_alone_is_trained_and_the_published_folder_paints(
    trained: Trained, any_base: Path, part: PatchPart, changes: Mapping[str, Any]
) -> None:
    folder = trained(**changes)
    mine, theirs = files(folder), files(any_base)
    validation = {"validation-0000002.png"} if "validation_steps" in changes else set()
    assert set(mine) == {*theirs, "pixels.json", "history.csv"} | validation
    weights = [name for name in theirs if name.endswith(".safetensors")]
    for name in weights:
        before, after = load_file(any_base / name), load_file(folder / name)
        assert set(before) == set(after) and {values.dtype for values in after.values()} == {torch.float32}
        assert all(torch.equal(after[key], before[key]) for key in before) == (name != UNET)

    pipeline = AutoPipelineForInpainting.from_pretrained(folder)
    assert type(pipeline) is type(load_base(any_base, None))
    painted, backgrounds, edits = paint_fires(generator(any_base, **changes), folder, part)
    inside = np.broadcast_to(edits[:, None], painted.shape)
    np.testing.assert_array_equal(painted[~inside], backgrounds[~inside])
    untrained = paint_fires(generator(any_base, **changes), without_weights(folder), part)[0]
    for other in (backgrounds, untrained):
        assert (painted != other)[:, BANDS.index("B7")][edits].mean() > 0.9


def without_weights(folder: Path) -> Path:
    """Return a model folder with a folder's constants alone: the base model paints."""
    bare = folder.with_name(f"{folder.name}-untrained")
    bare.mkdir(exist_ok=True)
    Pixels.read(folder).write(bare)
    return bare


@pytest.mark.slow
def test_adapters_of_nine_channels_are_merged_by_alpha_over_rank_and_paint_the_same_apart(
    trained: Trained, any_base: Path, part: PatchPart
) -> None:
    merged, kept = trained(method="lora", lora=LORA), trained(method="lora", lora=LORA | {"merge": False})
    adapters, before, after = load_file(kept / ADAPTERS), load_file(any_base / UNET), load_file(merged / UNET)
    down, up = (adapters[f"unet.conv_in.lora_{side}.weight"] for side in "AB")
    assert before["conv_in.weight"].shape[1] == down.shape[1] == 9
    update = torch.einsum("or,ricd->oicd", up[:, :, 0, 0], down) * 8 / 2
    assert (update.abs().amax(dim=(0, 2, 3)) > 0).all(), "each of the nine channels is adapted"
    torch.testing.assert_close(after["conv_in.weight"], before["conv_in.weight"] + update)
    settings = generator(any_base, method="lora", lora=LORA)

    # As the trainer has it: adapters beside the weights.
    apart, latents = load_base(any_base, None), torch.randn(2, 9, 8, 8, generator=torch.Generator().manual_seed(1))
    Denoiser(apart, settings)
    names = {name.replace(".default.", "."): values for name, values in apart.unet.named_parameters()}
    with torch.no_grad():
        for name, values in adapters.items():
            names[name.removeprefix("unet.")].copy_(values)
        text = told(apart, "fire", 2)
        whole = load_base(merged, None).unet
        outputs = [unet.eval()(latents, torch.tensor([3, 900]), **text).sample for unet in (apart.unet, whole)]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(
        outputs[0], load_base(any_base, None).unet(latents, torch.tensor([3, 900]), **text).sample
    )
    np.testing.assert_array_equal(paint_fires(settings, merged, part)[0], paint_fires(settings, kept, part)[0])


def told(pipeline: DiffusionPipeline, prompt: str, n: int) -> dict[str, Any]:
    """What a U-Net is told of a prompt beside latents of 64 px, by the text encoders themselves."""
    settings = {"padding": "max_length", "max_length": 77, "truncation": True, "return_tensors": "pt"}
    ids = pipeline.tokenizer(prompt, **settings).input_ids
    with torch.no_grad():
        if not isinstance(pipeline, StableDiffusionXLInpaintPipeline):
            return {"encoder_hidden_states": pipeline.text_encoder(ids).last_hidden_state.expand(n, -1, -1)}
        # SDXL takes the last hidden state but one.
        first = pipeline.text_encoder(ids, output_hidden_states=True).hidden_states[-2]
        second = pipeline.text_encoder_2(ids, output_hidden_states=True)
    sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    return {
        "encoder_hidden_states": torch.cat([first, second.hidden_states[-2]], dim=-1).expand(n, -1, -1),
        "added_cond_kwargs": {"text_embeds": second.text_embeds.expand(n, -1), "time_ids": sizes.expand(n, -1)},
    }


@pytest.mark.slow
def test_the_unet_learns_with_the_prompt_that_it_expects_or_with_none(
    any_base: Path, part: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is zeros in SDXL, and the embedding of an empty prompt in Stable Diffusion 1 and 2."""
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Denoiser, "__init__", watched(Denoiser.__init__, seen))
    settings = generator(any_base, prompt_dropout=0.4, max_train_steps=20, learning_rate=1e-9)
    finetune(settings, part, tmp_path / "work")
    pipeline = load_base(any_base, None)
    prompt, none = (flat(told(pipeline, text, 1)) for text in (settings.instance_prompt, ""))
    if isinstance(pipeline, StableDiffusionXLInpaintPipeline):
        assert pipeline.config.force_zeros_for_empty_prompt
        none = [torch.zeros_like(none[0]), torch.zeros_like(none[1]), none[2]]
    counts = [0, 0]
    for parts in seen:
        for row in range(2):
            for number, expected in enumerate((prompt, none)):
                mine = zip(parts, expected, strict=True)
                counts[number] += all(torch.allclose(values[row], wanted[0], atol=1e-5) for values, wanted in mine)
    assert sum(counts) == 40 and 8 < counts[1] < 24


def flat(text: Mapping[str, Any]) -> list[torch.Tensor]:
    added = text.get("added_cond_kwargs") or {}
    return [text["encoder_hidden_states"], *(added[name] for name in ("text_embeds", "time_ids") if name in added)]


def watched(build: Callable[..., None], seen: list[tuple[Any, ...]]) -> Callable[..., None]:
    """Note what the U-Net of each new denoiser is told."""

    def built(denoiser: Denoiser, *arguments: Any) -> None:
        build(denoiser, *arguments)
        denoiser.unet.register_forward_pre_hook(
            lambda unet, given, named: seen.append(
                tuple(part.detach() for part in flat({"encoder_hidden_states": given[2], **named}))
            ),
            with_kwargs=True,
        )

    return built


@pytest.mark.slow
def test_an_interrupted_training_resumes_to_the_same_bytes(
    trained: Trained, any_base: Path, part: PatchPart, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(message: str) -> None:
        if message.startswith("step 25"):
            raise Interrupted

    changes: Mapping[str, Any] = {"max_train_steps": 27, "checkpointing_steps": 10, "train_batch_size": 1}
    with pytest.raises(Interrupted):
        finetune(generator(any_base, **changes), part, tmp_path / "work", interrupt)
    messages: list[str] = []
    finetune(generator(any_base, **changes), part, tmp_path / "work", messages.append)
    assert "resumed at step 20 of 27" in messages
    assert files(tmp_path / "work") == files(trained(**changes))


@pytest.mark.slow
def test_looking_at_the_model_does_not_disturb_its_training(trained: Trained) -> None:
    changes: Mapping[str, Any] = {"mixed_precision": "bf16"}
    looked, plain = files(trained(**changes, validation_steps=2)), files(trained(**changes))
    assert looked.pop("validation-0000002.png")
    assert looked == plain


def test_text_encoders_of_sdxl_are_refused_to_be_trained(tmp_path: Path) -> None:
    trains = (
        "generator: {engine: stable-diffusion, base_model: ./xl, crop: 16, resolution: 64, train_text_encoder: true}"
    )
    study = write_study(tmp_path / "study", configs={"xl": f"{trains}\nsampling: {{images: 2}}"})
    save_tiny_xl_pipeline(study / "xl")
    with pytest.raises(StudyError, match=r"xl.yaml.*generator.base_model: .*SDXL.*leave train_text_encoder out"):
        load_augmentation(study, "xl", load_study(study))
