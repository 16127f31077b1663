"""Fine-tuning Stable Diffusion: every method trains, resumes to the same bytes, publishes what it trained."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file

from firefusion_assets.engines import launching
from firefusion_assets.engines.stable_diffusion import fitting as finetuning
from firefusion_assets.engines.stable_diffusion import trainer
from firefusion_assets.engines.stable_diffusion.base_model import load_base, load_base_of
from firefusion_assets.engines.stable_diffusion.encoded_views import ViewStream, encode, enlarged
from firefusion_assets.engines.stable_diffusion.families import family_of
from firefusion_assets.engines.stable_diffusion.job import FinetuningJob, open_part
from firefusion_assets.engines.stable_diffusion.network import Denoiser, denoising_loss
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.views import FireViews
from firefusion_assets.patchstore import LeakError, Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.engine import Run
from firefusion_assets_tests.builders.finetuning import ADAPTERS, UNET, files, finetune, generator
from firefusion_assets_tests.builders.painting import paint_fires
from firefusion_assets_tests.builders.parts import BANDS
from firefusion_assets_tests.builders.small_devices import hold_at_most

pytestmark = pytest.mark.slow

TEXT_ENCODER, VAE = "text_encoder/model.safetensors", "vae/diffusion_pytorch_model.safetensors"
PRIOR = {"class_prompt": "land", "num_class_images": 6}
LORA = {"method": "lora", "lora": {"rank": 2, "alpha": 8}}
KEPT = {"method": "lora", "lora": {"rank": 2, "alpha": 8, "merge": False}}

Settings = Mapping[str, Any]
Trained = Callable[..., Path]


class Interrupted(Exception):
    """Raised by a test in the middle of a training."""


@pytest.fixture(scope="module")
def trained(base: Path, part: PatchPart, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Give the model folder of some settings, trained once."""
    folders: dict[str, Path] = {}

    def of(**changes: Any) -> Path:
        settings = generator(base, **changes)
        key = settings.model_dump_json()
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("trained")
            finetune(settings, part, folders[key])
        return folders[key]

    return of


def losses(folder: Path) -> list[float]:
    with (folder / "history.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def update_difference(folder: Path, other: Path, base: Path) -> float:
    """How much two trainings' changes of the U-Net differ, as a share of the change."""
    mine, theirs, before = (load_file(place / UNET) for place in (folder, other, base))
    changed = sum((mine[name] - before[name]).square().sum() for name in before)
    return float((sum((mine[name] - theirs[name]).square().sum() for name in before) / changed).sqrt())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "none"}, None),
        ({}, {UNET}),
        ({"train_text_encoder": True}, {UNET, TEXT_ENCODER}),
        ({"prior_preservation": PRIOR}, {UNET}),
        ({"prior_preservation": PRIOR, "train_text_encoder": True, "gradient_checkpointing": True},
         {UNET, TEXT_ENCODER}),
        (LORA, {UNET}),
        (KEPT, None),
        (LORA | {"gradient_checkpointing": True, "prior_preservation": PRIOR}, {UNET}),
        ({"mixed_precision": "bf16"}, {UNET}),
        ({"use_ema": True, "snr_gamma": 5.0, "lr_scheduler": "cosine", "lr_warmup_steps": 1}, {UNET}),
        ({"area": "patch", "training_masks": "mixed", "loss_area": "latent", "stretch": "percentile"}, {UNET}),
        ({"training_masks": "random", "stretch": "linear", "companion_bands": "background"}, {UNET}),
    ],
)  # fmt: skip
def test_every_method_trains_publishes_what_it_trains_and_paints(
    trained: Trained, base: Path, part: PatchPart, changes: Settings, expected: set[str] | None
) -> None:
    folder = trained(**changes)
    if expected is None:
        own = set() if changes == {"method": "none"} else {ADAPTERS, "history.csv"}
        assert set(files(folder)) == own | {"pixels.json"}
    else:
        assert set(files(folder)) == {*files(base), "pixels.json", "history.csv"}
        before, after = (
            {name: load_file(place / name) for name in (UNET, TEXT_ENCODER, VAE)} for place in (base, folder)
        )
        differ = {
            name for name in before if any(not torch.equal(after[name][key], before[name][key]) for key in before[name])
        }
        assert differ == expected
        assert all(values.dtype == torch.float32 for parts in after.values() for values in parts.values())
    if (folder / "history.csv").is_file():
        assert len(losses(folder)) == 3 and np.isfinite(losses(folder)).all()
    settings = generator(base, **changes)
    painted, backgrounds, edits = paint_fires(settings, folder, part)
    inside = np.broadcast_to(edits[:, None], painted.shape)
    np.testing.assert_array_equal(painted[~inside], backgrounds[~inside])
    assert (painted != backgrounds)[:, BANDS.index("B7")][edits].mean() > 0.9
    if changes != {"method": "none"}:
        untrained = paint_fires(settings.model_copy(update={"base_model": str(base)}), base_of(folder, base), part)[0]
        assert (untrained != painted)[:, BANDS.index("B7")][edits].mean() > 0.9


def base_of(folder: Path, base: Path) -> Path:
    """Return a model folder with a folder's constants and the weights of the base model."""
    bare = folder.with_name(f"{folder.name}-untrained")
    bare.mkdir(exist_ok=True)
    Pixels.read(folder).write(bare)
    return bare


ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


@pytest.mark.parametrize(
    "targets",
    [
        ATTENTION,
        [*ATTENTION, "conv_in"],
        [*ATTENTION, "proj_in", "proj_out"],
        [*ATTENTION, "conv1", "conv2", "conv_shortcut"],
        [*ATTENTION, "time_emb_proj", "linear_1", "linear_2"],
        ["ff.net.0.proj", "ff.net.2", "to_k"],
        ["conv_in", "conv_out"],
    ],
    ids=lambda targets: "-".join(targets[-2:]),
)
def test_adapters_of_any_layers_are_merged_by_alpha_over_rank_and_paint_the_same_apart(
    trained: Trained, base: Path, part: PatchPart, targets: list[str]
) -> None:
    chosen: Settings = {"rank": 2, "alpha": 8, "target_modules": targets}
    merge, keep = {"method": "lora", "lora": chosen}, {"method": "lora", "lora": chosen | {"merge": False}}
    merged, kept = trained(**merge), trained(**keep)
    adapters, before, after = load_file(kept / ADAPTERS), load_file(base / UNET), load_file(merged / UNET)
    updates = {}
    for name, down in adapters.items():
        if ".lora_A." in name:
            up = adapters[name.replace("lora_A", "lora_B")]
            layer = name.removeprefix("unet.").split(".lora")[0]
            product = (up.flatten(1) @ down.flatten(1)).reshape(len(up), *down.shape[1:])
            updates[f"{layer}.weight"] = 8 / 2 * product
    wanted = {name for name in before if name.endswith(tuple(f"{target}.weight" for target in targets))}
    assert set(updates) == wanted and len(wanted) > 1
    assert all(update.abs().max() > 0 for update in updates.values())
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight + updates.get(name, 0), msg=name)
    np.testing.assert_array_equal(
        paint_fires(generator(base, **merge), merged, part)[0], paint_fires(generator(base, **keep), kept, part)[0]
    )


def test_less_memory_and_smaller_batches_learn_the_same(trained: Trained, base: Path) -> None:
    plain, large = trained(), trained(train_batch_size=4)
    assert update_difference(trained(gradient_checkpointing=True), plain, base) < 1e-3
    assert update_difference(trained(gradient_accumulation_steps=2), large, base) < 1e-2
    assert update_difference(large, plain, base) > 0.1
    np.testing.assert_allclose(losses(trained(gradient_accumulation_steps=2)), losses(large), rtol=1e-4)
    np.testing.assert_allclose(losses(trained(mixed_precision="bf16")), losses(plain), rtol=0.05)
    assert 1e-6 < update_difference(trained(mixed_precision="bf16"), plain, base) < 0.7


def test_a_device_that_holds_less_than_a_batch_learns_the_same_and_says_so(
    trained: Trained, base: Path, part: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: Settings = {"train_batch_size": 3, "gradient_accumulation_steps": 2, "prior_preservation": PRIOR}
    whole = trained(**changes)
    sizes = hold_at_most(2, UNet2DConditionModel, monkeypatch)
    facts = finetune(generator(base, **changes), part, tmp_path)
    assert facts["examples_at_once"] == 2 and sizes.count(3) == 1, "3 fires are tried once"
    assert set(files(tmp_path)) == set(files(whole))
    assert update_difference(tmp_path, whole, base) < 1e-2
    np.testing.assert_allclose(losses(tmp_path), losses(whole), rtol=1e-4)


def test_the_average_is_that_of_the_weights_after_each_step(trained: Trained) -> None:
    """With a constant rate a shorter training is the beginning of a longer one, so each step's weights are known."""
    after = [load_file(trained(max_train_steps=steps) / UNET) for steps in (1, 2, 3)]
    averaged = load_file(trained(use_ema=True) / UNET)
    for name, first in after[0].items():
        average = first
        for step, weights in enumerate((after[1][name], after[2][name]), start=1):
            decay = min(0.9999, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * weights
        torch.testing.assert_close(averaged[name], average)
        assert not torch.equal(averaged[name], after[2][name]) or torch.equal(first, after[2][name])


LONG = {"max_train_steps": 27, "checkpointing_steps": 10, "train_batch_size": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"lr_scheduler": "cosine", "lr_warmup_steps": 3, "use_ema": True, "train_text_encoder": True},
        KEPT | {"prior_preservation": PRIOR, "gradient_accumulation_steps": 2, "checkpoints_total_limit": 2},
    ],
)
def test_an_interrupted_training_resumes_to_the_same_bytes(
    trained: Trained, base: Path, part: PatchPart, tmp_path: Path, changes: Settings
) -> None:
    settings, work = generator(base, **LONG | changes), tmp_path / "work"

    def interrupt(message: str) -> None:
        if message.startswith("step 25"):
            raise Interrupted

    with pytest.raises(Interrupted):
        finetune(settings, part, work, interrupt)
    kept = [f"checkpoint-{step:07d}.pt" for step in (10, 20)][-settings.checkpoints_total_limit :]
    assert sorted(path.name for path in work.glob("checkpoint-*")) == kept
    (work / f"{kept[-1]}.7.partial").write_bytes(b"a write that was cut short")
    messages: list[str] = []
    finetune(settings, part, work, messages.append)
    assert "resumed at step 20 of 27" in messages
    assert files(work) == files(trained(**LONG | changes))


def test_published_are_the_weights_that_were_trained(base: Path, part: PatchPart, tmp_path: Path) -> None:
    def look(message: str) -> None:
        if message.startswith("step 25"):
            state.update(torch.load(tmp_path / "long" / "checkpoint-0000020.pt", weights_only=True)["parameters"])

    state: dict[str, torch.Tensor] = {}
    finetune(generator(base, **LONG), part, tmp_path / "long", look)
    finetune(generator(base, **LONG | {"max_train_steps": 20}), part, tmp_path / "short")
    published = StableDiffusionInpaintPipeline.from_pretrained(tmp_path / "short").unet.state_dict()
    assert {f"unet.{name}" for name in published} == set(state)
    assert all(torch.equal(values, state[f"unet.{name}"]) for name, values in published.items())


def test_a_plain_pipeline_of_the_published_folder_paints_the_same(trained: Trained) -> None:
    folder = trained(train_text_encoder=True)
    rng = np.random.default_rng(3)
    image, mask = torch.from_numpy(rng.random((1, 3, 64, 64), np.float32)), torch.zeros(1, 1, 64, 64)
    mask[..., 16:40, 8:48] = 1
    painted = []
    for pipeline in (StableDiffusionInpaintPipeline.from_pretrained(folder), load_base(folder, None)):
        seed = torch.Generator().manual_seed(4)
        call = pipeline(
            "fire", image, mask, height=64, width=64, num_inference_steps=3, generator=seed, output_type="np"
        )
        painted.append(call.images)
    np.testing.assert_array_equal(*painted)
    assert painted[0].std() > 0


def test_class_images_are_made_once(trained: Trained, base: Path, part: PatchPart, tmp_path: Path) -> None:
    def stop_at(words: str) -> Callable[[str], None]:
        def progress(message: str) -> None:
            messages.append(message)
            if message.startswith(words):
                raise Interrupted

        return progress

    settings, work = generator(base, prior_preservation=PRIOR), tmp_path / "work"
    messages: list[str] = []
    for words in ("4 of 6 class images", "encoded"):
        with pytest.raises(Interrupted):
            finetune(settings, part, work, stop_at(words))
    made = files(work / "class-images")
    finetune(settings, part, work, messages.append)
    assert [message for message in messages if "class images" in message] == [
        "4 of 6 class images", "6 of 6 class images",
    ]  # fmt: skip
    assert len(made) == 6 and len(set(made.values())) == 6
    assert files(work) == files(trained(prior_preservation=PRIOR))


def test_views_are_encoded_once_for_all_attempts(base: Path, part: PatchPart, tmp_path: Path) -> None:
    def stop(message: str) -> None:
        messages.append(message)
        if message.startswith("step 25"):
            raise Interrupted

    messages: list[str] = []
    for _ in range(2):
        with pytest.raises(Interrupted):
            finetune(generator(base, **LONG), part, tmp_path / "work", stop)
    assert [message for message in messages if "encoded" in message] == ["encoded the views of fires"]
    views = load_file(tmp_path / "work" / "encoded-views" / "fires.safetensors")
    assert {values.dtype for values in views.values()} == {torch.float32}
    # A trainer that is called by hand may be given other settings: it doesn't learn from the views of the old ones.
    for checkpoint in (tmp_path / "work").glob("checkpoint-*"):
        checkpoint.unlink()
    finetune(generator(base, **LONG | {"seed": 2}), part, tmp_path / "work", messages.append)
    finetune(generator(base, **LONG | {"seed": 2}), part, tmp_path / "plain")
    assert files(tmp_path / "work") == files(tmp_path / "plain")


@pytest.mark.parametrize("trains_text", [False, True])
def test_some_views_are_learned_without_a_prompt(
    base: Path, part: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trains_text: bool
) -> None:
    def loss(*arguments: Any) -> torch.Tensor:
        texts.append(*arguments[4])
        return denoising_loss(*arguments)

    monkeypatch.setattr(trainer, "denoising_loss", loss)
    pipeline, shares = load_base(base, None), {}
    for dropout in (0, 0.4):
        texts: list[torch.Tensor] = []
        changes = {"max_train_steps": 40, "prompt_dropout": dropout, "train_text_encoder": trains_text}
        finetune(generator(base, **changes), part, tmp_path / str(dropout))
        rows = torch.cat(texts)
        if trains_text:
            tokens = [pipeline.tokenizer(text, padding="max_length", return_tensors="pt").input_ids
                      for text in ("", generator(base).instance_prompt)]  # fmt: skip
        else:
            tokens = [pipeline.encode_prompt(text, torch.device("cpu"), 1, False)[0]
                      for text in ("", generator(base).instance_prompt)]  # fmt: skip
        empty, prompt = (sum(torch.equal(row, text[0]) for row in rows) for text in tokens)
        assert len(rows) == 80 and empty + prompt == 80
        shares[dropout] = empty / 80
    assert shares[0] == 0 and 0.25 < shares[0.4] < 0.55


def test_looking_at_the_model_does_not_disturb_its_training(trained: Trained) -> None:
    changes: Settings = {"train_text_encoder": True, "mixed_precision": "bf16"}
    looked, plain = files(trained(**changes, validation_steps=2)), files(trained(**changes))
    assert looked.pop("validation-0000002.png")
    assert looked == plain


def test_the_sampler_that_a_base_model_names_changes_nothing_in_training(
    trained: Trained, base: Path, part: PatchPart, tmp_path: Path
) -> None:
    other = shutil.copytree(base, tmp_path / "other")
    pipeline = load_base(other, None)
    EulerDiscreteScheduler.from_config(pipeline.scheduler.config).save_pretrained(other / "scheduler")
    index = other / "model_index.json"
    index.write_text(index.read_text().replace("DDIMScheduler", "EulerDiscreteScheduler"))
    finetune(generator(other), part, tmp_path / "work")
    assert losses(tmp_path / "work") == losses(trained())
    assert (tmp_path / "work" / UNET).read_bytes() == (trained() / UNET).read_bytes()


def test_a_training_that_diverges_stops_before_it_is_saved(base: Path, part: PatchPart, tmp_path: Path) -> None:
    settings = generator(base, learning_rate=1e30, max_train_steps=9, checkpointing_steps=4, max_grad_norm=1e30)
    with pytest.raises(FloatingPointError, match="not finite at step 4; lower generator.learning_rate"):
        finetune(settings, part, tmp_path / "work")
    assert not list((tmp_path / "work").glob("checkpoint-*"))


def test_nothing_outside_the_train_part_is_learned_from(base: Path, part: PatchPart, tmp_path: Path) -> None:
    stores = [part.store, tmp_path / "other"]
    ids = [name for name in part.ids if name not in ("fire-2", "free-3")]
    with PatchWriter(stores[1], part.meta) as writer:
        for name in part.ids:
            patch = part.read(name)
            if name not in ids:
                patch = Patch(np.full_like(patch.bands, 64000), np.ones_like(patch.label), np.zeros_like(patch.ignore))
            writer.add_patch(name, patch)
    works = [tmp_path / "a", tmp_path / "b"]
    for store, work in zip(stores, works, strict=True):
        finetune(generator(base, prior_preservation=PRIOR), PatchPart(Patches(store), ids), work)
    assert files(works[0]) == files(works[1])
    job = FinetuningJob(generator=generator(base), base=stores[1], train_ids=tuple(ids), work=tmp_path)
    with pytest.raises(LeakError, match="fire-2"):
        open_part(job).read("fire-2")


def fire_front(folder: Path) -> PatchPart:
    """One patch: a burning front of uneven heat on ground of smooth texture, darker where it has burnt."""
    rng, size = np.random.default_rng(8), 32
    coarse = np.kron(rng.normal(0, 1, (4, 8, 8)), np.ones((4, 4))) + rng.normal(0, 0.3, (4, size, size))
    bands = np.array([8500, 15000, 13000, 9500])[:, None, None] + 900 * coarse
    front = (18 + 4 * np.sin(np.arange(size) / 5)).astype(int)
    rows = np.arange(size)[:, None]
    bands[:, rows < front] *= 0.8
    label = (rows >= front) & (rows < front + 3)
    bands[2:, label] += rng.lognormal(10, 0.4, (2, int(label.sum())))
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=size)) as writer:
        writer.add_patch("front", Patch(bands.clip(1, 65535).astype(np.uint16), label, np.zeros_like(label)))
    return PatchPart(Patches(folder), ["front"])


def mean_loss(
    pipeline: DiffusionPipeline, settings: StableDiffusionGenerator, part: PatchPart, pixels: Pixels
) -> float:
    """Mean loss inside the mask of the first view, over the whole schedule with always the same noise."""
    n = 40
    image = enlarged(FireViews(part, settings)[0], pixels.stretch, settings.resolution // 32)
    encoded = encode(iter([image]), pipeline.vae, 8)
    examples, drawn = ViewStream(encoded, 99, "look").batch(0, n, 1000, torch.device("cpu"))
    drawn = drawn._replace(timesteps=torch.linspace(0, 999, n).long())
    with torch.no_grad():
        text = tuple(one.expand(n, *one.shape[1:]) for one in family_of(pipeline).encoded(settings.instance_prompt))
        return float(
            denoising_loss(Denoiser(pipeline, settings), pipeline.scheduler, examples, drawn, text, settings).mean()
        )


def test_one_fire_can_be_learned_by_heart(family: dict[str, str], tmp_path: Path) -> None:
    part = fire_front(tmp_path / "store")
    settings = generator(**family, area="patch", mask_variants=1, max_train_steps=120)
    finetune(settings, part, tmp_path / "work")
    pixels = Pixels.read(tmp_path / "work")
    models = load_base_of(settings), load_base(tmp_path / "work", None)
    before, after = (mean_loss(model, settings, part, pixels) for model in models)
    assert after < 0.5 * before


def test_a_trainer_that_fails_shows_the_end_of_its_output(
    base: Path, part: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "import sys; print('\\n'.join(map(str, range(99)))); sys.exit('out of memory')"
    monkeypatch.setattr(finetuning, "trainer_command", lambda trainer, job: [sys.executable, "-c", lines])
    with pytest.raises(finetuning.TrainerError, match=r"(?s)exit code 1:\n.*\n97\n98\nout of memory$"):
        generator(base).fit(part, tmp_path, Run(lambda message: None))


def test_a_killed_trainer_is_resumed_to_the_same_bytes(base: Path, part: PatchPart, tmp_path: Path) -> None:
    settings = generator(base, max_train_steps=80, checkpointing_steps=5)
    finetune(settings, part, tmp_path / "undisturbed")
    job = job_of(settings, part, tmp_path / "killed")
    command = launching.trainer_command(settings.trainer, job)
    with subprocess.Popen(command, env=one_thread()) as process:
        while not [*job.parent.glob("checkpoint-*.pt")] and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (job.parent / "history.csv").exists()
    messages: list[str] = []
    finetune(settings, part, job.parent, messages.append)
    assert any(message.startswith("resumed at step ") for message in messages)
    assert files(job.parent) == files(tmp_path / "undisturbed")


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are two devices `fit` starts a process for each; here both are the CPU."""
    monkeypatch.setattr(launching, "device_count", lambda: 2)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.usefixtures("two_processes")
def test_two_processes_learn_what_one_does(trained: Trained, base: Path, part: PatchPart, tmp_path: Path) -> None:
    changes: Settings = {"gradient_accumulation_steps": 2, "prior_preservation": PRIOR}
    alone, work = trained(**changes), tmp_path / "work"
    work.mkdir()
    generator(base, **changes).fit(part, work, Run(lambda message: None))
    assert set(files(work)) == set(files(alone))
    assert update_difference(work, alone, base) < 1e-2
    np.testing.assert_allclose(losses(work), losses(alone), rtol=1e-4)


def test_batches_that_two_processes_cannot_share_are_refused(
    base: Path, part: PatchPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.Accelerator, "num_processes", 2)
    expected = "generator.gradient_accumulation_steps: 1 batches a step can't be shared out over 2 processes"
    with pytest.raises(ValueError, match=expected):
        finetune(generator(base), part, tmp_path)


def job_of(settings: StableDiffusionGenerator, part: PatchPart, work: Path) -> Path:
    """Write what a fitting hands to the trainer."""
    work.mkdir()
    return settings.prepare(part, work)


def one_thread() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}
