"""Each family of base models is fine-tuned, published and painted with; its U-Net is told what it expects."""

import csv
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForInpainting, DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from firefusion_assets.core import tracking
from firefusion_assets.engines.stable_diffusion import sampling
from firefusion_assets.engines.stable_diffusion.base_model import load_base, load_base_of
from firefusion_assets.engines.stable_diffusion.encoded_views import Enlarged, Examples, encode, enlarged
from firefusion_assets.engines.stable_diffusion.network import Denoiser
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.publishing import publish
from firefusion_assets.engines.stable_diffusion.sampling import WindowSampler
from firefusion_assets.engines.stable_diffusion.views import FireViews
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets_tests.builders.finetuning import UNET, files, finetune, generator
from firefusion_assets_tests.builders.painting import paint_fires
from firefusion_assets_tests.builders.parts import BANDS
from firefusion_assets_tests.builders.pipelines import save_tiny_models

PRIOR = {"class_prompt": "land", "num_class_images": 4}
LORA = {"rank": 2, "alpha": 8, "target_modules": ["to_q", "to_v", "conv_in"]}

Trained = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(family: dict[str, str], part: PatchPart, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Give the model folder of some settings, trained once."""
    folders: dict[str, Path] = {}

    def of(**changes: Any) -> Path:
        settings = generator(**family, **changes)
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
        {"validation_steps": 2},
        {"method": "lora", "lora": LORA},
        {"method": "lora", "lora": LORA, "mixed_precision": "bf16", "gradient_checkpointing": True},
    ],
)
def test_the_unet_alone_is_trained_and_the_published_folder_paints(
    trained: Trained, family: dict[str, str], part: PatchPart, tmp_path: Path, changes: Mapping[str, Any]
) -> None:
    folder = trained(**changes)
    pretrained = load_base_of(generator(**family))
    pretrained.save_pretrained(tmp_path / "pretrained")
    theirs = files(tmp_path / "pretrained")
    validation = {"validation-0000002.png"} if "validation_steps" in changes else set()
    assert set(files(folder)) == {*theirs, "pixels.json", "history.csv"} | validation
    for name in (name for name in theirs if name.endswith(".safetensors")):
        before, after = load_file(tmp_path / "pretrained" / name), load_file(folder / name)
        assert set(before) == set(after) and {values.dtype for values in after.values()} == {torch.float32}
        assert all(torch.equal(after[key], before[key]) for key in before) == (name != UNET)

    assert type(AutoPipelineForInpainting.from_pretrained(folder)) is type(load_base(folder, None)) is type(pretrained)
    painted, backgrounds, edits = paint_fires(generator(**family, **changes), folder, part)
    inside = np.broadcast_to(edits[:, None], painted.shape)
    np.testing.assert_array_equal(painted[~inside], backgrounds[~inside])
    untrained = paint_fires(generator(**family, **changes), without_weights(folder), part)[0]
    for other in (backgrounds, untrained):
        assert (painted != other)[:, BANDS.index("B7")][edits].mean() > 0.9


def without_weights(folder: Path) -> Path:
    """Return a model folder with a folder's constants alone: the base model paints."""
    bare = folder.with_name(f"{folder.name}-untrained")
    bare.mkdir(exist_ok=True)
    Pixels.read(folder).write(bare)
    return bare


@pytest.fixture
def views(family: dict[str, str], part: PatchPart) -> tuple[list[Enlarged], Examples]:
    """Two views at 64 px, and encoded."""
    settings, pipeline = generator(**family), load_base_of(generator(**family))
    stretch = Pixels.fit(settings, part).stretch
    seen = [enlarged(FireViews(part, settings)[number], stretch, 4) for number in range(2)]
    return seen, encode(iter(seen), pipeline.vae, 8)


def told(pipeline: DiffusionPipeline, prompt: str, n: int) -> tuple[torch.Tensor, ...]:
    """What stands for a prompt, by the text encoders themselves."""
    settings = {"padding": "max_length", "max_length": 77, "truncation": True, "return_tensors": "pt"}
    ids = pipeline.tokenizer(prompt, **settings).input_ids
    with torch.no_grad():
        if not hasattr(pipeline, "text_encoder_2"):
            return (pipeline.text_encoder(ids).last_hidden_state.expand(n, -1, -1),)
        # SDXL takes the last hidden state but one.
        first = pipeline.text_encoder(ids, output_hidden_states=True).hidden_states[-2]
        second = pipeline.text_encoder_2(ids, output_hidden_states=True)
    both = torch.cat([first, second.hidden_states[-2]], dim=-1)
    return both.expand(n, -1, -1), second.text_embeds.expand(n, -1)


def test_the_unet_is_told_what_is_known_as_the_pipeline_of_its_family_tells_it(
    family: dict[str, str], views: tuple[list[Enlarged], Examples]
) -> None:
    seen, examples = views
    pipeline, timesteps = load_base_of(generator(**family)), torch.tensor([3, 900])
    noisy = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    text = told(pipeline, "fire", 2)
    with torch.no_grad():
        known = torch.stack([view.known for view in seen])
        hidden = torch.stack([view.hidden for view in seen])
        latents = pipeline.vae.encode(known).latent_dist.mode() * pipeline.vae.config.scaling_factor
        shares = hidden.float().reshape(2, 1, 8, 8, 8, 8).mean(dim=(3, 5))
        if "controlnet" in family:
            image = torch.where(hidden, -1, (known + 1) / 2)
            down, middle = pipeline.controlnet(noisy, timesteps, text[0], image, return_dict=False)
            rest = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            expected = pipeline.unet(noisy, timesteps, text[0], **rest).sample
            assert not torch.allclose(expected, pipeline.unet(noisy, timesteps, text[0]).sample, atol=0.01)
        else:
            sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(2, -1)
            added = {"text_embeds": text[1], "time_ids": sizes} if len(text) == 2 else None
            inputs = torch.cat([noisy, shares, latents], dim=1)
            expected = pipeline.unet(inputs, timesteps, text[0], added_cond_kwargs=added).sample
        predicted = Denoiser(pipeline, generator(**family)).eval()(noisy, timesteps, examples, text)
    torch.testing.assert_close(predicted, expected, atol=1e-4, rtol=1e-4)


def test_adapters_of_all_channels_are_merged_by_alpha_over_rank_and_predict_the_same_apart(
    family: dict[str, str], views: tuple[list[Enlarged], Examples], tmp_path: Path
) -> None:
    """Of the first layer too, whose channels are latents, mask and known latents, or latents alone."""
    settings, examples = generator(**family, method="lora", lora=LORA), views[1]
    pipeline = load_base_of(settings)
    text, timesteps = told(pipeline, "fire", 2), torch.tensor([3, 900])
    noisy = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    before = pipeline.unet.conv_in.weight.detach().clone()
    with torch.no_grad():
        plain = Denoiser(load_base_of(settings), generator(**family)).eval()(noisy, timesteps, examples, text)
        apart = Denoiser(pipeline, settings).eval()
        for name, values in apart.trained().items():
            torch.nn.init.normal_(values, std=0.1, generator=torch.Generator().manual_seed(len(name)))
        adapted = apart(noisy, timesteps, examples, text)
        layer = pipeline.unet.conv_in
        up, down = (side["default"].weight.detach() for side in (layer.lora_B, layer.lora_A))
        publish(pipeline, settings, tmp_path)
        merged = load_base(tmp_path, None)
        whole = Denoiser(merged, generator(**family)).eval()(noisy, timesteps, examples, text)
    assert down.shape[1] == (4 if "controlnet" in family else 9)
    update = torch.einsum("or,ricd->oicd", up[:, :, 0, 0], down) * 8 / 2
    assert (update.abs().amax(dim=(0, 2, 3)) > 0).all()
    torch.testing.assert_close(merged.unet.conv_in.weight, before + update)
    torch.testing.assert_close(whole, adapted, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(whole, plain, atol=0.01)


@pytest.mark.slow
def test_adapters_that_are_published_apart_paint_the_same(
    trained: Trained, family: dict[str, str], part: PatchPart
) -> None:
    if "controlnet" in family:
        with pytest.raises(ValueError, match=r"lora.merge: adapters alone .* without the controlnet"):
            generator(**family, method="lora", lora=LORA | {"merge": False})
        return
    settings = generator(**family, method="lora", lora=LORA)
    merged, kept = trained(method="lora", lora=LORA), trained(method="lora", lora=LORA | {"merge": False})
    np.testing.assert_array_equal(paint_fires(settings, merged, part)[0], paint_fires(settings, kept, part)[0])


@pytest.mark.slow
def test_views_are_learned_with_the_prompt_or_with_none(
    family: dict[str, str], part: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is zeros in SDXL, and the embedding of an empty prompt in Stable Diffusion 1 and 2."""
    seen: list[tuple[torch.Tensor, ...]] = []
    plain = Denoiser.forward
    monkeypatch.setattr(Denoiser, "forward", lambda self, *given: (seen.append(given[3]), plain(self, *given))[1])
    settings = generator(**family, prompt_dropout=0.4, max_train_steps=20)
    finetune(settings, part, tmp_path / "work")
    pipeline = load_base_of(settings)
    prompt, none = (told(pipeline, text, 1) for text in (settings.instance_prompt, ""))
    if len(none) == 2:
        assert pipeline.config.force_zeros_for_empty_prompt
        none = tuple(map(torch.zeros_like, none))
    rows = [[part[row] for part in text] for text in seen for row in range(2)]

    def is_told(row: list[torch.Tensor], text: tuple[torch.Tensor, ...]) -> bool:
        return all(torch.allclose(mine, theirs[0], atol=1e-5) for mine, theirs in zip(row, text, strict=True))

    counts = [sum(is_told(row, text) for row in rows) for text in (prompt, none)]
    assert sum(counts) == len(rows) == 40 and 8 < counts[1] < 24


@pytest.mark.slow
def test_an_interrupted_training_resumes_to_the_same_bytes(
    trained: Trained, family: dict[str, str], part: PatchPart, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(message: str) -> None:
        if message.startswith("step 25"):
            raise Interrupted

    changes: Mapping[str, Any] = {"max_train_steps": 27, "checkpointing_steps": 10, "train_batch_size": 1}
    with pytest.raises(Interrupted):
        finetune(generator(**family, **changes), part, tmp_path / "work", interrupt)
    messages: list[str] = []
    finetune(generator(**family, **changes), part, tmp_path / "work", messages.append)
    assert "resumed at step 20 of 27" in messages
    assert files(tmp_path / "work") == files(trained(**changes))


@pytest.mark.slow
def test_looking_at_the_model_does_not_disturb_its_training(trained: Trained) -> None:
    looked, plain = files(trained(validation_steps=2)), files(trained())
    assert looked.pop("validation-0000002.png")
    assert looked == plain


@pytest.mark.slow
def test_a_tracker_is_shown_losses_and_validation_pictures_of_the_training(
    family: dict[str, str], part: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv(tracking.TRACKER, "tensorboard")
    settings = generator(**family, max_train_steps=5, validation_steps=2)
    with tracking.tracked(tracking.Run("study", "key", "finetuned_model", str(tmp_path / "tracking")), {}):
        finetune(settings, part, tmp_path / "work")
    with (tmp_path / "work" / "history.csv").open(newline="") as history:
        losses = [float(row["loss"]) for row in csv.DictReader(history)]
    (folder,) = (
        folder for folder in (tmp_path / "tracking").rglob("finetuned_model*") if [*folder.rglob("*tfevents*")]
    )
    told = EventAccumulator(str(folder))
    told.Reload()
    pictures = {event.step: event.encoded_image_string for event in told.Images("validation")}
    assert set(pictures) == {2, 4}
    for step, picture in pictures.items():
        shown = Image.open(BytesIO(picture)).convert("RGB")
        saved = Image.open(tmp_path / "work" / f"validation-{step:07d}.png")
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(saved))
    assert [(event.step, event.value) for event in told.Scalars("loss")] == [(5, pytest.approx(np.mean(losses)))]


@pytest.mark.parametrize("changes", [{"strength": 0.5, "masked_content": "fill", "steps": 4}, {"steps": 2}])
def test_what_lies_below_a_mask_is_not_seen(family: dict[str, str], changes: dict[str, Any]) -> None:
    settings = Sampling.model_validate({"images": 1, "guidance_scale": 3} | changes)
    sampler = WindowSampler(load_base_of(generator(**family)), settings, 4, "fire")
    ground = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 3, 16, 16)).astype(np.float32)
    masks = np.zeros((2, 16, 16), bool)
    masks[:, 5:9, 3:12] = True
    hot = np.where(masks[:, None], np.float32(0.9), ground)
    painted, on_hot, elsewhere = (sampler(windows, masks, [1, 2]) for windows in (ground, hot, ground * 0.5))
    np.testing.assert_array_equal(painted, on_hot)
    assert (painted != elsewhere).mean() > 0.9


def test_a_controlnets_base_paints_whole_each_latent_cell_that_is_hidden_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known is put back into all others: a fire of one pixel isn't mixed with the ground around it."""
    pipeline, seen = load_base_of(generator(**save_tiny_models(tmp_path, "controlnet"))), list[torch.Tensor]()
    plain = sampling.decoded
    monkeypatch.setattr(sampling, "decoded", lambda vae, latents: (seen.append(latents), plain(vae, latents))[1])
    sampler = WindowSampler(pipeline, Sampling(images=1, steps=2, guidance_scale=1), 4, "fire")
    ground, mask = np.full((1, 3, 16, 16), 0.25, np.float32), np.zeros((1, 16, 16), bool)
    mask[0, 7, 4] = True
    sampler(ground, mask, [3])
    with torch.no_grad():
        known = pipeline.vae.encode(torch.full((1, 3, 64, 64), 0.25)).latent_dist.mode()
    difference = (seen[0] - known * pipeline.vae.config.scaling_factor).abs().amax(dim=1)[0]
    assert difference[3, 2] > 0.1
    difference[3, 2] = 0
    assert difference.max() < 1e-3
